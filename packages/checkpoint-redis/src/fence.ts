import { decodePart, fenceKey, type ThreadRef, threadKey } from './keys.ts';
import { loadScript, type RedisClient, runScript } from './scripts.ts';

export type { ThreadRef } from './keys.ts';
export type { RedisClient } from './scripts.ts';

/** The right to write to a thread. */
export interface Lease {
  /** A safe integer above 0 that only grows from one holder to the next (for example µs since 1970). */
  token: number;
  /** Unique to this holder, so that two holders with one token are told apart. Not empty. */
  nonce: string;
}

/** `head` is the head checkpoint of the root namespace, if any; `token` the one that stands. */
export type RaisedFence = { raised: true; head?: string } | { raised: false; token: number };

/**
 * A write was refused: its lease is not the one the thread's fence names, or it had none and the thread is fenced, or
 * the store has gone back to before what was written under that lease. Nothing was written.
 */
export class FenceError extends Error {
  readonly threadId: string;
  /** The token the refused writer held; undefined when it had no lease. */
  readonly token: number | undefined;
  /** The token that stands; 0 when the thread has no fence. */
  readonly heldToken: number;

  constructor(threadId: string, token: number | undefined, heldToken: number, wentBack = false) {
    const held = wentBack
      ? 'what it has written before is gone, as after a restored snapshot'
      : heldToken === 0
        ? 'there is no fence'
        : `the fence is at ${heldToken}`;
    const writer = token === undefined ? 'a writer without a lease' : `lease ${token}`;
    super(`Thread ${JSON.stringify(threadId)} refused ${writer}: ${held}`);
    this.name = 'FenceError';
    this.threadId = threadId;
    this.token = token;
    this.heldToken = heldToken;
  }
}

const RAISE = loadScript('raise', 'format');

export function assertLease(lease: Lease): void {
  if (!Number.isSafeInteger(lease.token) || lease.token <= 0) {
    throw new RangeError(`A lease token must be a safe integer above 0, got ${lease.token}`);
  }
  if (typeof lease.nonce !== 'string' || lease.nonce === '') {
    throw new TypeError('A lease nonce must be a string that is not empty');
  }
}

/** The token of the thread's fence; 0 when there is none. */
export async function readFence(redis: RedisClient, thread: ThreadRef): Promise<number> {
  return Number((await redis.hget(fenceKey(thread), 'token')) ?? 0);
}

/**
 * Makes `lease` the only one that may write to the thread. Its token must be strictly higher than the one that
 * stands; the same lease again succeeds, because a client repeats a command whose reply was lost.
 */
export async function raiseFence(redis: RedisClient, thread: ThreadRef, lease: Lease): Promise<RaisedFence> {
  assertLease(lease);
  const reply = (await runScript(redis, RAISE, threadKey(thread), [String(lease.token), lease.nonce])) as [
    number,
    Buffer,
  ];
  const detail = reply[1].toString();
  if (reply[0] === 0) return { raised: false, token: Number(detail) };
  return detail === '' ? { raised: true } : { raised: true, head: decodePart(detail) };
}
