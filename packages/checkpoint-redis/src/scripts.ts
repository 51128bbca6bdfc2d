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

/** Runs a script on one key; strings in the reply come back as Buffers. */
export function runScript(
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
  return command.call(redis, key, ...args);
}
