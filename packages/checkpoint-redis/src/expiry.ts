import { randomUUID } from 'node:crypto';
import { EXPIRY_SHARDS, expiryKey, expiryShard, type ThreadRef, threadKey } from './keys.ts';
import { loadScript, type RedisClient, runScript } from './scripts.ts';

const TOUCH = loadScript('touch');
const DUE = loadScript('due');
const FORGET = loadScript('forget');
const EXPIRE = loadScript('expire', 'guard', 'removal');

/** Checkpoints removed by one script. */
const CHUNK = 100;

export interface ExpireOptions {
  /** First part of every key. Default `checkpoint`. */
  prefix?: string | undefined;
  /** Threads whose last write is older than this are removed. By the clock of Redis. */
  olderThanMs: number;
  /** At most so many threads are looked at in this call. Default 100. */
  limit?: number | undefined;
  /** Asked before a thread is touched; a leased one is left alone. */
  isLeased?: ((thread: { namespace: string; threadId: string }) => boolean | Promise<boolean>) | undefined;
  /**
   * Remove fences too. Without its fence a thread refuses every lease until one is raised again, so old holders
   * stay out; but a saver without a lease may then write. Default false.
   */
  dropFences?: boolean | undefined;
}

export interface ExpireResult {
  /** Threads that were removed. */
  expired: number;
  /** Threads that were old enough but in use. */
  skipped: number;
}

/** Notes a write for `expireThreads`. Goes before the data, so that no thread is left without an entry. */
export async function touchThread(redis: RedisClient, thread: ThreadRef): Promise<void> {
  const { prefix, namespace = '', threadId } = thread;
  const member = JSON.stringify([namespace, threadId]);
  await runScript(redis, TOUCH, expiryKey(prefix, expiryShard(namespace, threadId)), [member]);
}

/**
 * Removes threads that nobody wrote to for `olderThanMs`, in bounded steps. Works on threads of savers with
 * `trackExpiry`. May run in many processes at once; call it again while it removes something.
 */
export async function expireThreads(redis: RedisClient, options: ExpireOptions): Promise<ExpireResult> {
  const result: ExpireResult = { expired: 0, skipped: 0 };
  let left = options.limit ?? 100;
  for (let shard = 0; shard < EXPIRY_SHARDS && left > 0; shard += 1) {
    const key = expiryKey(options.prefix, shard);
    // Those left alone stay in the index: read past them.
    let offset = 0;
    while (left > 0) {
      const count = Math.min(left, CHUNK);
      const [cutoff, members] = (await runScript(redis, DUE, key, [options.olderThanMs, offset, count])) as [
        Buffer,
        Buffer[],
      ];
      for (const member of members) {
        const [namespace, threadId] = JSON.parse(member.toString()) as [string, string];
        const removed = await expireThread(redis, { namespace, threadId }, cutoff.toString(), options);
        if (removed) await runScript(redis, FORGET, key, [member, cutoff]);
        else offset += 1;
        result[removed ? 'expired' : 'skipped'] += 1;
      }
      left -= members.length;
      if (members.length < count) break;
    }
  }
  return result;
}

async function expireThread(
  redis: RedisClient,
  thread: { namespace: string; threadId: string },
  cutoff: string,
  options: ExpireOptions,
): Promise<boolean> {
  if (await options.isLeased?.(thread)) return false;
  const key = threadKey({ ...thread, prefix: options.prefix });
  const nonce = randomUUID();
  const dropFence = options.dropFences ? '1' : '0';
  let reply: unknown = 1;
  for (let first = '1'; reply === 1; first = '0') {
    reply = await runScript(redis, EXPIRE, key, [cutoff, nonce, first, CHUNK, dropFence]);
  }
  return reply === 0;
}
