/**
 * Every key name of this package, for TypeScript and for Lua.
 *
 * All keys of one thread start with the same hash tag, `<prefix>:{<namespace>/<thread id>}`, so that a script
 * that touches any of them stays in one slot of a Redis Cluster. That first part is itself the key of the
 * thread's record and is what scripts get as `KEYS[1]`.
 */

const DEFAULT_PREFIX = 'checkpoint';

/** Which thread, in which key space. */
export interface ThreadRef {
  /** First part of every key; no braces. Default `checkpoint`. */
  prefix?: string | undefined;
  /** Qualifies the thread id (for example with a tenant) without being part of it. Default: none. */
  namespace?: string | undefined;
  threadId: string;
}

/** What a thread's keys hold, by the suffix that names it. `ns` and `id` are encoded. */
const KINDS = {
  /** HASH token, nonce: who may write. Outlives the rest. */
  fence: { suffix: 'fence', args: [] },
  /** SET of root checkpoint ids that pruning leaves alone. */
  pins: { suffix: 'pins', args: [] },
  /** ZSET of checkpoint namespaces, by the insertion number of their last checkpoint. */
  namespaces: { suffix: 'ns', args: [] },
  /** HASH checkpoint namespace → id of its head. */
  heads: { suffix: 'heads', args: [] },
  /** HASH checkpoint namespace of one task → id of the root checkpoint whose task it is. */
  owners: { suffix: 'owners', args: [] },
  /** ZSET of `<ns> <id>` that have writes or sub-graphs but no checkpoint yet, by insertion number. */
  early: { suffix: 'early', args: [] },
  /** HASH: what the newest run found and has changed (see journal.lua). */
  journal: { suffix: 'journal', args: [] },
  /** SET of root checkpoint ids that are gone and whose sub-graphs are still to be removed. */
  doomed: { suffix: 'doomed', args: [] },
  /** SET of checkpoint namespaces that belong to a root checkpoint's tasks. */
  owned: { suffix: 'owned', args: ['id'] },
  /** ZSET of checkpoint ids by insertion number. */
  index: { suffix: 'i', args: ['ns'] },
  /** ZSET of checkpoints out of the index that a delta channel still needs, by insertion number. */
  ancestors: { suffix: 'a', args: ['ns'] },
  /** ZSET of indexed checkpoints by the insertion number of the oldest ancestor their delta channels need. */
  floors: { suffix: 'd', args: ['ns'] },
  /** HASH `<channel> NUL <version>` → value. */
  blobs: { suffix: 'b', args: ['ns'] },
  /** HASH `<channel> NUL <version>` → how many checkpoints hold it. */
  references: { suffix: 'r', args: ['ns'] },
  /** HASH: one checkpoint. */
  checkpoint: { suffix: 'c', args: ['ns', 'id'] },
  /** HASH `<task> NUL <index>` → one pending write. */
  writes: { suffix: 'w', args: ['ns', 'id'] },
} as const;

/**
 * Makes any string safe inside a key: no separator, brace or glob character is left, and different strings stay
 * different (a lone surrogate too, which UTF-8 could not carry).
 */
export function encodePart(text: string): string {
  return text.replace(/[^A-Za-z0-9_.-]/gu, (char) =>
    /\p{Surrogate}/u.test(char)
      ? `%u${char.charCodeAt(0).toString(16).toUpperCase()}`
      : [...new TextEncoder().encode(char)]
          .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
          .join(''),
  );
}

export function decodePart(encoded: string): string {
  return encoded.replace(/%u([0-9A-F]{4})|(?:%[0-9A-F]{2})+/g, (run, surrogate: string | undefined) =>
    surrogate === undefined ? decodeURIComponent(run) : String.fromCharCode(Number.parseInt(surrogate, 16)),
  );
}

function checkedPrefix(prefix: string | undefined): string {
  const value = prefix ?? DEFAULT_PREFIX;
  if (/[{}]/.test(value)) {
    throw new TypeError(`The key prefix may not contain braces, they would move the hash tag: ${value}`);
  }
  return value;
}

/** The key of a thread's record, and the start of all its other keys. */
export function threadKey(thread: ThreadRef): string {
  if (typeof thread.threadId !== 'string') throw new TypeError('A thread id must be a string');
  const tag = `${encodePart(thread.namespace ?? '')}/${encodePart(thread.threadId)}`;
  return `${checkedPrefix(thread.prefix)}:{${tag}}`;
}

export function fenceKey(thread: ThreadRef): string {
  return `${threadKey(thread)}:${KINDS.fence.suffix}`;
}

/** A SCAN pattern for the records of all threads of a namespace. */
export function threadPattern(prefix: string | undefined, namespace: string | undefined): string {
  const literal = checkedPrefix(prefix).replace(/[\\*?[\]^]/g, (char) => `\\${char}`);
  return `${literal}:{${encodePart(namespace ?? '')}/*}`;
}

/** The thread id inside a record's key, or undefined when the key is not a record of that key space. */
export function threadIdOfKey(
  key: string,
  prefix: string | undefined,
  namespace: string | undefined,
): string | undefined {
  const start = `${checkedPrefix(prefix)}:{${encodePart(namespace ?? '')}/`;
  if (!key.startsWith(start) || !key.endsWith('}')) return undefined;
  return decodePart(key.slice(start.length, -1));
}

export const EXPIRY_SHARDS = 16;

/** A ZSET of `[namespace, thread id]` by the time of the last checkpoint. The shards spread over a cluster. */
export function expiryKey(prefix: string | undefined, shard: number): string {
  return `${checkedPrefix(prefix)}:expiry:{${shard}}`;
}

export function expiryShard(namespace: string, threadId: string): number {
  let hash = 0;
  for (const char of `${namespace}/${threadId}`) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) >>> 0;
  return hash % EXPIRY_SHARDS;
}

/** The same names as Lua functions: `key_record()`, `key_index(ns)`, `key_checkpoint(ns, id)` and so on. */
export function luaKeys(): string {
  const lines = ['local function key_record() return KEYS[1] end'];
  for (const [kind, { suffix, args }] of Object.entries(KINDS)) {
    const tail = args.map((arg) => ` .. ':' .. ${arg}`).join('');
    lines.push(`local function key_${kind}(${args.join(', ')}) return KEYS[1] .. ':${suffix}'${tail} end`);
  }
  return `${lines.join('\n')}\n`;
}
