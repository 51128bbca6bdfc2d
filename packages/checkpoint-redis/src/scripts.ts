import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Cluster, Redis } from 'ioredis';
import { luaKeys } from './keys.ts';

/** Any ioredis client: one server, Sentinel or Cluster. */
export type RedisClient = Redis | Cluster;

export interface Script {
  readonly command: string;
  readonly lua: string;
}

export type ScriptArgument = string | number | Buffer;

const read = (file: string) => readFileSync(new URL(`./scripts/${file}.lua`, import.meta.url), 'utf8');

const SLOT = read('slot');

/**
 * Loads `scripts/<name>.lua` after the key names and, for scripts that need them, the files in `libraries`.
 */
export function loadScript(name: string, ...libraries: string[]): Script {
  const lua = [luaKeys(), ...[...libraries, name].map(read)].join('\n');
  // The digest keeps two versions of this package apart when they share a connection.
  const digest = createHash('sha1').update(lua).digest('hex').slice(0, 8);
  return { command: `checkpoint_${name.replaceAll('-', '_')}_${digest}`, lua };
}

type Command = (...args: ScriptArgument[]) => Promise<unknown>;

/**
 * Redis refuses the command for a reason of its own (no memory, no replica, read-only, a slot on the move), or cannot be
 * reached for as long as the connection was told to try. The same call may succeed later, and does no harm if it was
 * done already. `cause` is ioredis's error.
 */
export class StorageRefusal extends Error {
  override readonly name = 'StorageRefusal';
}

/** A later version of this package has written the thread, in a format that this one does not know. Nothing was changed. */
export class LaterFormatError extends Error {
  override readonly name = 'LaterFormatError';
}

/**
 * Runs a script on one key; strings in the reply come back as Buffers.
 *
 * @throws StorageRefusal, or LaterFormatError; a script's own error replies begin with `FENCED` and come through as they are
 */
export async function runScript(
  redis: RedisClient,
  script: Script,
  key: string,
  args: readonly ScriptArgument[],
): Promise<unknown> {
  if (!(script.command in redis)) {
    const lua = redis.isCluster ? `${SLOT}\n${script.lua}` : script.lua;
    redis.defineCommand(script.command, { numberOfKeys: 1, lua });
  }
  // defineCommand adds methods that no static type knows.
  const commands = redis as unknown as Record<string, Command | undefined>;
  const command = commands[`${script.command}Buffer`];
  if (command === undefined) throw new Error(`The Redis client did not take the script ${script.command}`);
  try {
    return await command.call(redis, key, ...args);
  } catch (error) {
    if (!(error instanceof Error) || error.message.startsWith('FENCED')) throw error;
    if (error.message.startsWith('LATER')) {
      throw new LaterFormatError('The thread is stored in the format of a later version', { cause: error });
    }
    throw new StorageRefusal(error.message, { cause: error });
  }
}
