import { afterEach, beforeEach, expect, test } from 'vitest';
import { expireThreads, FenceError, RedisSaver, raiseFence, readFence } from './index.ts';
import { EXPIRY_SHARDS, expiryKey, expiryShard } from './keys.ts';
import { openSpace, putCheckpoint, type TestSpace } from './testing.ts';

let space: TestSpace;
let saver: RedisSaver;
beforeEach(() => {
  space = openSpace();
  saver = new RedisSaver(space.redis, { prefix: space.prefix, keepCheckpoints: 0, trackExpiry: true });
});
afterEach(() => space.close());

const DAY = 86_400_000;
const expire = (more: object = {}) =>
  expireThreads(space.redis, { prefix: space.prefix, olderThanMs: DAY, ...more });
const has = async (threadId: string) =>
  (await saver.getTuple({ configurable: { thread_id: threadId } })) !== undefined;
const indexed = async () => {
  let entries = 0;
  for (let shard = 0; shard < EXPIRY_SHARDS; shard += 1) {
    entries += await space.redis.zcard(expiryKey(space.prefix, shard));
  }
  return entries;
};

/** Moves a thread's last write into the past, in the index and where the thread itself knows it. */
async function age(threadId: string, ms: number, where: 'both' | 'index' = 'both') {
  const then = Date.now() - ms;
  const shard = expiryKey(space.prefix, expiryShard('', threadId));
  await space.redis.zadd(shard, then, JSON.stringify(['', threadId]));
  if (where === 'both') await space.redis.hset(`${space.prefix}:{/${threadId}}`, 't', then);
}

test('old threads go, however long they are, and young ones stay', async () => {
  for (let i = 0; i < 230; i += 1) await putCheckpoint(saver, 'old', { values: { m: i } });
  await putCheckpoint(saver, 'young');
  await age('old', 2 * DAY);
  await age('young', DAY / 2);
  expect(await expire()).toEqual({ expired: 1, skipped: 0 });
  expect(await has('young')).toBe(true);
  expect((await space.keys()).filter((key) => key.includes('old'))).toEqual([]);
  expect(await indexed()).toBe(1);
  expect(await expire()).toEqual({ expired: 0, skipped: 0 });
});

test('without trackExpiry there is no index', async () => {
  await putCheckpoint(new RedisSaver(space.redis, { prefix: space.prefix }), 't');
  expect(await indexed()).toBe(0);
});

test('a leased thread stays, and does not keep the ones behind it from going', async () => {
  const ids = Array.from({ length: 20 }, (_, i) => `t${i}`);
  for (const id of ids) {
    await putCheckpoint(saver, id);
    await age(id, 2 * DAY);
  }
  const asked: string[] = [];
  const isLeased = ({ threadId }: { threadId: string }) => {
    asked.push(threadId);
    return threadId !== 't19';
  };
  expect(await expire({ isLeased })).toEqual({ expired: 1, skipped: 19 });
  expect(asked.sort()).toEqual([...ids].sort());
  expect(await has('t18')).toBe(true);
  expect(await has('t19')).toBe(false);
});

test('limit bounds a call', async () => {
  for (let i = 0; i < 10; i += 1) {
    await putCheckpoint(saver, `t${i}`);
    await age(`t${i}`, 2 * DAY);
  }
  expect(await expire({ limit: 4 })).toEqual({ expired: 4, skipped: 0 });
  expect(await expire({ limit: 100 })).toEqual({ expired: 6, skipped: 0 });
});

test('a thread written to after it was found old stays whole and stays in the index', async () => {
  await putCheckpoint(saver, 't', { values: { m: 1 } });
  await age('t', 2 * DAY, 'index');
  expect(await expire()).toEqual({ expired: 0, skipped: 1 });
  expect(await has('t')).toBe(true);
  await age('t', 2 * DAY);
  const isLeased = async () => {
    await putCheckpoint(saver, 't', { values: { m: 2 } });
    return false;
  };
  expect(await expire({ isLeased })).toEqual({ expired: 0, skipped: 1 });
  expect(await has('t')).toBe(true);
  expect(await indexed()).toBe(1);
});

test('an entry renewed while its thread was being removed stays', async () => {
  await putCheckpoint(saver, 't');
  await age('t', 2 * DAY);
  const isLeased = async () => {
    await age('t', 0, 'index');
    return false;
  };
  expect(await expire({ isLeased })).toEqual({ expired: 1, skipped: 0 });
  expect(await indexed()).toBe(1);
});

test('a thread with a fence and nothing else is left to its holder', async () => {
  await age('t', 2 * DAY, 'index');
  const lease = { token: 3, nonce: 'a' };
  await raiseFence(space.redis, { prefix: space.prefix, threadId: 't' }, lease);
  expect(await expire({ dropFences: true })).toEqual({ expired: 1, skipped: 0 });
  await putCheckpoint(saver.withLease({ lease }), 't');
  expect(await has('t')).toBe(true);
});

test('the sweep takes the fence, so that a slow holder cannot write onto what is gone', async () => {
  const thread = { prefix: space.prefix, threadId: 't' };
  const top = 1_900_000_000_000_000;
  const lease = { token: top, nonce: 'a' };
  await raiseFence(space.redis, thread, lease);
  const holder = saver.withLease({ lease });
  await putCheckpoint(holder, 't');
  await age('t', 2 * DAY);
  expect(await expire()).toEqual({ expired: 1, skipped: 0 });
  expect(await readFence(space.redis, thread)).toBe(top + 1);
  await expect(putCheckpoint(holder, 't')).rejects.toThrow(FenceError);
  expect(await raiseFence(space.redis, thread, { token: top + 2, nonce: 'b' })).toEqual({ raised: true });
  await putCheckpoint(saver.withLease({ lease: { token: top + 2, nonce: 'b' } }), 't');
  await age('t', 2 * DAY);
  expect(await expire({ dropFences: true })).toEqual({ expired: 1, skipped: 0 });
  expect(await readFence(space.redis, thread)).toBe(0);
  await expect(putCheckpoint(holder, 't')).rejects.toThrow(FenceError);
});
