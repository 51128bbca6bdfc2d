import { readFileSync } from 'node:fs';
import { luaKeys } from '../keys.ts';
import type { RedisConnection } from '../redis.ts';

const names = [
  'submit',
  'claim',
  'begin',
  'emit',
  'renew',
  'finish',
  'hand_back',
  'cancel',
  'sweep',
  'thread_view',
  'chain_view',
  'keep_answers',
  'create_thread',
  'set_thread_metadata',
  'rung',
  'open_runs',
  'publish',
  'begin_expiry',
  'end_expiry',
  'begin_effect',
  'note_effect',
  'dead_letters',
  'census',
  'note_pace',
  'hand_over',
  'forget_expired',
] as const;
type ScriptName = (typeof names)[number];

/** What all scripts share, each part with those before it: `root`, `prefix` and `key` are there already. */
const parts = [
  'time',
  'events',
  'mailbox',
  'open_runs',
  'dead_letters',
  'chains',
  'retention',
  'rollback',
  'end',
  'cancel',
  'thread',
  'lease',
];

const read = (name: string) => readFileSync(new URL(`./${name}.lua`, import.meta.url), 'utf8');

/** The whole text of a script: the names of the keys, what all scripts share, and its own part. */
function source(name: ScriptName, prefix: string, shared: string, slot: string): string {
  // The prefix is the operator's plain text; a JSON string without escapes is a Lua string.
  return [
    slot,
    `local root = KEYS[1]`,
    `local prefix = ${JSON.stringify(prefix)}`,
    luaKeys,
    shared,
    read(name),
  ].join('\n');
}

export type Script = (root: string, ...args: (string | number)[]) => Promise<unknown>;
export type Scripts = Record<ScriptName, Script>;

/**
 * Makes the scripts callable on a connection. Each takes a partition's root as its one key, so that Redis
 * Cluster can route it, and touches that partition alone.
 */
export function loadScripts(redis: RedisConnection, prefix: string): Scripts {
  const shared = parts.map((part) => read(`shared/${part}`)).join('\n');
  const slot = redis.isCluster ? read('slot') : '';
  const scripts = {} as Scripts;
  for (const name of names) {
    // One connection may serve several prefixes (tests do).
    const command = `millrace_${name}_${prefix}`;
    redis.defineCommand(command, { numberOfKeys: 1, lua: source(name, prefix, shared, slot) });
    const call = Reflect.get(redis, command) as Script;
    scripts[name] = (root, ...args) => call.call(redis, root, ...args);
  }
  return scripts;
}
