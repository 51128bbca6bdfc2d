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

/**
 * Loads `scripts/<name>.lua` after the key names and, for scripts that need them, the files in `libraries`.
 */
export function loadScript(name: string, ...libraries: string[]): Script {
  const parts = [...libraries, name].map((file) =>
    readFileSync(new URL(`./scripts/${file}.lua`, import.meta.url), 'utf8'),
  );
  const lua = [luaKeys(), ...parts].join('\n');
  // The digest keeps two versions of this package apart when they share a connection.
  const digest = createHash('sha1').update(lua).digest('hex').slice(0, 8);
  return { command: `checkpoint_${name.replaceAll('-', '_')}_${digest}`, lua };
}

type Command = (...args: ScriptArgument[]) => Promise<unknown>;

/**
 * Redis has the command and refuses it, for a reason of its own: no memory, no replica, read-only, loading. Nothing was
 * written; the same call may succeed later. `cause` is ioredis's error.
 */
export class StorageRefusal extends Error {
  override readonly name = 'StorageRefusal';
}

/**
 * Runs a script on one key; strings in the reply come back as Buffers.
 *
 * @throws StorageRefusal; a script's own error replies begin with `FENCED` and come through as they are
 */
export async function runScript(
  redis: RedisClient,
  script: Script,
  key: string,
  args: readonly ScriptArgument[],
): Promise<unknown> {
  if (!(script.command in redis)) {
    redis.defineCommand(script.command, { numberOfKeys: 1, lua: script.lua });
  }
  // defineCommand adds methods that no static type knows.
  const commands = redis as unknown as Record<string, Command | undefined>;
  const command = commands[`${script.command}Buffer`];
  if (command === undefined) throw new Error(`The Redis client did not take the script ${script.command}`);
  try {
    return await command.call(redis, key, ...args);
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'ReplyError' || error.message.startsWith('FENCED'))
      throw error;
    throw new StorageRefusal(error.message, { cause: error });
  }
}
