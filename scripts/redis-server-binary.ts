import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { runCommand } from './run-command.ts';

/** How one server is started on one port and folder; its configuration follows on stdin. */
export interface Invocation {
  command: string;
  args: string[];
  env?: NodeJS.ProcessEnv;
  /** What the configuration must say from the server's own point of view. */
  bind: string;
  port: number;
  dir: string;
  /** Removes what the death of the process leaves behind, if anything. */
  cleanup?: string[];
}

/** A server that was found and can be started. */
export interface ServerProgram {
  describe: string;
  invoke(at: { port: number; dataDir: string }): Invocation;
}

/** Either a program, or in a few words why this route has none (if that is worth telling). */
export type Found = { program: ServerProgram } | { reason: string | undefined };

const oldest = [6, 2] as const;
const names = ['redis-server', 'valkey-server'];

/** Looks for a server on PATH. A file that cannot be executed, or is too old, counts as absent. */
export async function findOnPath(env: NodeJS.ProcessEnv): Promise<Found> {
  let reason: string | undefined = 'redis-server and valkey-server are not on PATH';
  for (const name of names) {
    for (const dir of (env.PATH ?? '').split(delimiter).filter(Boolean)) {
      const file = join(dir, name);
      if (!isExecutable(file)) continue;
      const found = await programAt(file, env);
      if ('program' in found) return found;
      reason = found.reason;
    }
  }
  return { reason };
}

/** The server in this file, if it runs and is new enough. */
export async function programAt(file: string, env: NodeJS.ProcessEnv): Promise<Found> {
  const result = await runCommand(file, ['--version'], { timeoutMs: 5000, env });
  const version = parseVersion(result.stdout);
  if (result.code !== 0 || version === undefined) {
    const why = result.stderr.trim().split('\n').at(-1) || (result.timedOut ? 'no answer' : 'no version');
    return { reason: `${file} does not run (${why})` };
  }
  if (!isNewEnough(version)) {
    return { reason: `${file} is ${version}, older than ${oldest.join('.')}` };
  }
  const describe = `${file.split('/').at(-1)} ${version}`;
  return {
    program: {
      describe: `${describe} (${file})`,
      invoke: ({ port, dataDir }) => ({
        command: file,
        args: ['-'],
        env,
        bind: '127.0.0.1',
        port,
        dir: dataDir,
      }),
    },
  };
}

export function parseVersion(text: string): string | undefined {
  return /\bv=(\d+\.\d+\.\d+)/.exec(text)?.[1];
}

export function isNewEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > oldest[0] || (major === oldest[0] && minor >= oldest[1]);
}

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
