import { fetchDebian, findUnpacked } from './redis-debian.ts';
import { findDocker } from './redis-docker.ts';
import { type Found, findOnPath, type ServerProgram } from './redis-server-binary.ts';
import { type Say, UserError } from './say.ts';

export interface FindOptions {
  env: NodeJS.ProcessEnv;
  cacheDir: string;
  log: Say;
  signal?: AbortSignal | undefined;
  platform?: NodeJS.Platform;
}

/**
 * The servers this machine can offer, the least trouble first. Lazy: a later route costs time or a download and is only
 * tried when what came before could not be started either.
 */
export async function* findServers(options: FindOptions): AsyncGenerator<ServerProgram> {
  const { env, log, signal, platform = process.platform } = options;
  const reasons: string[] = [];
  const routes: (() => Promise<Found>)[] = [
    () => findOnPath(env),
    () => findUnpacked(options),
    () => findDocker(env, log, signal),
    () => fetchDebian(options),
  ];
  for (const route of platform === 'win32' ? [] : routes) {
    const found = await route();
    signal?.throwIfAborted();
    if ('program' in found) {
      yield found.program;
      reasons.push(`${found.program.describe} did not start`);
    } else if (found.reason !== undefined) {
      reasons.push(found.reason);
    }
  }
  throw new UserError(remedy(platform, reasons));
}

/** One line that says what to do; nothing is installed on the host on the quiet. */
export function remedy(platform: NodeJS.Platform, reasons: string[]): string {
  const todo: Partial<Record<NodeJS.Platform, string>> = {
    darwin: 'Run `brew install valkey`, or set REDIS_URL to a Redis of yours',
    win32: 'Run this inside WSL, or set REDIS_URL to a Redis of yours',
  };
  const fallback = 'Install redis-server or valkey (6.2 or newer), or set REDIS_URL to a Redis of yours';
  const why = reasons.length > 0 ? ` (${reasons.join('; ')})` : '';
  return `No Redis to use. ${todo[platform] ?? fallback}${why}.`;
}
