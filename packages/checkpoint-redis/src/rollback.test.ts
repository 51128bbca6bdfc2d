import { afterEach, beforeEach, expect, test } from 'vitest';
import { FenceError, RedisSaver, raiseFence } from './index.ts';
import { listIds, openSpace, putCheckpoint, type TestSpace } from './testing.ts';

let space: TestSpace;
let saver: RedisSaver;
beforeEach(() => {
  space = openSpace();
  saver = new RedisSaver(space.redis, { prefix: space.prefix, keepCheckpoints: 0 });
});
afterEach(() => space.close());

const config = (checkpoint_id?: string, checkpoint_ns = '') => ({
  configurable: { thread_id: 't', checkpoint_ns, ...(checkpoint_id ? { checkpoint_id } : {}) },
});

test('a rollback leaves exactly what was there', async () => {
  const base = await putCheckpoint(saver, 't', { id: 'z', values: { m: 'base', c: 1 } });
  await saver.putWrites(config(base), [['m', 'kept']], 'task');
  await putCheckpoint(saver, 't', { ns: 'memory', values: { s: 'before' } });
  const before = await space.keys();
  const blobs = await space.redis.hgetall(`${space.prefix}:{/t}:r:`);
  let parent = base;
  for (let i = 0; i < 230; i += 1) {
    // Ids below the base's: the order is that of insertion.
    parent = await putCheckpoint(saver, 't', { parent, id: `a${i}`, values: { m: i } });
    await saver.putWrites(config(parent), [['m', i]], 'task');
    const parents = { '': parent };
    await putCheckpoint(saver, 't', { ns: `node:${i}`, values: { s: i }, metadata: { parents } });
    await putCheckpoint(saver, 't', { ns: 'memory', values: { s: `after ${i}` }, metadata: { parents } });
  }
  await saver.rollback('t', base);
  expect(await listIds(saver, 't')).toEqual([base]);
  expect(await space.keys()).toEqual(before);
  expect(await space.redis.hgetall(`${space.prefix}:{/t}:r:`)).toEqual(blobs);
  const tuple = await saver.getTuple(config());
  expect(tuple?.checkpoint.channel_values).toEqual({ m: 'base', c: 1 });
  expect(tuple?.pendingWrites).toEqual([['task', 'm', 'kept']]);
  const memory = await saver.getTuple(config(undefined, 'memory'));
  expect(memory?.checkpoint.channel_values).toEqual({ s: 'before' });
  await saver.rollback('t', base);
  expect(await space.keys()).toEqual(before);
});

test('a rollback to nothing removes everything but the fence', async () => {
  const lease = { token: 1, nonce: 'a' };
  await raiseFence(space.redis, { prefix: space.prefix, threadId: 't' }, lease);
  const holder = saver.withLease({ lease });
  for (let i = 0; i < 3; i += 1) await putCheckpoint(holder, 't', { values: { m: i } });
  await holder.rollback('t', undefined);
  expect(await space.keys()).toEqual([`${space.prefix}:{/t}:fence`]);
  expect(await holder.getTuple(config())).toBeUndefined();
});

test('a rollback to a checkpoint that is gone is an error and removes nothing', async () => {
  await putCheckpoint(saver, 't', { values: { m: 1 } });
  const before = await space.keys();
  await expect(saver.rollback('t', 'unknown')).rejects.toThrow(RangeError);
  expect(await space.keys()).toEqual(before);
});

test('a new holder stops a long rollback, and can finish it', async () => {
  const thread = { prefix: space.prefix, threadId: 't' };
  await raiseFence(space.redis, thread, { token: 1, nonce: 'a' });
  const old = saver.withLease({ lease: { token: 1, nonce: 'a' } });
  const base = await putCheckpoint(old, 't');
  for (let i = 0; i < 1000; i += 1) await putCheckpoint(old, 't');
  // One connection keeps the order: the fence rises after the first step.
  const rolling = old.rollback('t', base);
  const raised = raiseFence(space.redis, thread, { token: 2, nonce: 'b' });
  await expect(rolling).rejects.toThrow(FenceError);
  expect(await raised).toEqual({ raised: true, head: base });
  expect((await listIds(saver, 't')).length).toBeGreaterThan(1);
  await saver.withLease({ lease: { token: 2, nonce: 'b' } }).rollback('t', base);
  expect(await listIds(saver, 't')).toEqual([base]);
});
