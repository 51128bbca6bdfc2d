import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from './say.ts';

export interface StartOptions {
  help: boolean;
  workers: number;
  host: string;
  port: number;
  workerPort: number;
  /** The Redis to use; without it, a private one. */
  redisUrl: string | undefined;
  /** Absolute. */
  config: string | undefined;
  model: string;
}

export const help = `Usage: npx -y pnpm@12 start [--workers N] [--config PATH]

  --workers N     how many workers to run (default 1)
  --config PATH   a langgraph.json whose graphs to run instead of the built-in agent
  --help          this text

Environment (also read from .env): REDIS_URL (default: a private Redis), HOST (127.0.0.1), PORT (2024),
WORKER_PORT (9464, counting upward), MODEL (provider:name; default: a demo model that needs no network).`;

export function parseStart(argv: string[], env: NodeJS.ProcessEnv, cwd: string): StartOptions {
  // `pnpm start -- --workers 2` hands the separator on.
  const args = argv[0] === '--' ? argv.slice(1) : argv;
  const values = parse(args);
  return {
    help: values.help ?? false,
    workers: integer('--workers', values.workers ?? '1', 1, 64),
    host: env.HOST || '127.0.0.1',
    port: integer('PORT', env.PORT || '2024', 0, 65535),
    workerPort: integer('WORKER_PORT', env.WORKER_PORT || '9464', 0, 65535),
    redisUrl: env.REDIS_URL || undefined,
    config: values.config === undefined ? undefined : existing(resolve(cwd, values.config)),
    model: env.MODEL || 'demo model (deterministic, no network)',
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        workers: { type: 'string' },
        config: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    throw new UserError(`${(error as Error).message}\n\n${help}`);
  }
}

function integer(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new UserError(`${name} must be a whole number from ${least} to ${most}, not ${JSON.stringify(text)}`);
}

function existing(file: string): string {
  if (existsSync(file)) return file;
  throw new UserError(`--config: there is no ${file}`);
}
