import { afterEach, beforeEach, expect, test } from 'vitest';
import { FenceError, RedisSaver, raiseFence } from './index.ts';
import { listIds, openSpace, putCheckpoint, type TestSpace } from './testing.ts';

let space: TestSpace;
beforeEach(() => {
  space = openSpace();
});
afterEach(() => space.close());

const saverOf = (runId: string, keepCheckpoints = 0) =>
  new RedisSaver(space.redis, { prefix: space.prefix, keepCheckpoints, runId });

const config = (checkpoint_id?: string, checkpoint_ns = '') => ({
  configurable: { thread_id: 't', checkpoint_ns, ...(checkpoint_id ? { checkpoint_id } : {}) },
});

/** All that the thread holds, less the journal and the counters that only grow. */
async function content(): Promise<Map<string, unknown>> {
  const found = new Map<string, unknown>();
  for (const key of await space.keys()) {
    const suffix = key.slice(`${space.prefix}:{/t}`.length);
    if (suffix === '' || suffix === ':journal') continue;
    const type = await space.redis.type(key);
    if (type === 'hash') found.set(suffix, await space.redis.hgetall(key));
    else if (type === 'set') found.set(suffix, (await space.redis.smembers(key)).sort());
    else found.set(suffix, await space.redis.zrange(key, 0, -1, 'WITHSCORES'));
  }
  return found;
}

test('a rollback leaves exactly what was there', async () => {
  const first = saverOf('first');
  const base = await putCheckpoint(first, 't', { id: 'z', values: { m: 'base', c: 1 } });
  const parents = { '': base };
  await first.putWrites(config(base), [['m', 'kept']], 'done');
  await first.putWrites(config(base), [['__interrupt__', { value: 'sure?' }]], 'asks');
  await first.putWrites(config(base), [['__resume__', ['one']]], 'asks');
  const inside = await putCheckpoint(first, 't', {
    ns: 'node:asks',
    values: { i: 1 },
    metadata: { parents },
  });
  await first.putWrites(config(inside, 'node:asks'), [['__interrupt__', { value: 'sure?' }]], 'deep');
  await putCheckpoint(first, 't', { ns: 'memory', values: { s: 'before' } });
  const before = await content();

  const second = saverOf('second');
  await second.putWrites(config(base), [['__resume__', ['one', 'two']]], 'asks');
  await second.putWrites(config(inside, 'node:asks'), [['__resume__', ['one']]], 'deep');
  await second.putWrites(config(inside, 'node:asks'), [['i', 2]], 'deep');
  await putCheckpoint(second, 't', {
    ns: 'node:asks',
    parent: inside,
    values: { i: 2 },
    metadata: { parents },
  });
  await second.putWrites(config(base), [['m', 'new']], 'asks');
  let parent = base;
  for (let i = 0; i < 230; i += 1) {
    // Ids below the base's: the order is that of insertion.
    parent = await putCheckpoint(second, 't', { parent, id: `a${i}`, values: { m: i } });
    await second.putWrites(config(parent), [['m', i]], 'task');
    const owner = { '': parent };
    await putCheckpoint(second, 't', { ns: `node:${i}`, values: { s: i }, metadata: { parents: owner } });
    await putCheckpoint(second, 't', { ns: 'memory', values: { s: `after ${i}` }, metadata: { parents } });
  }
  // A step that was under way: its writes came, its checkpoint did not.
  await second.putWrites(config('never'), [['m', 'early']], 'task');

  expect(await second.rollback('t', 'second')).toBe(true);
  expect(await content()).toEqual(before);
  expect(await listIds(first, 't')).toEqual([base]);
  expect((await first.getTuple(config()))?.checkpoint.channel_values).toEqual({ m: 'base', c: 1 });
  expect((await first.getTuple(config(undefined, 'memory')))?.checkpoint.channel_values).toEqual({
    s: 'before',
  });
  expect(await second.rollback('t', 'second')).toBe(false);
  expect(await content()).toEqual(before);
});

test('a rollback of the first run removes everything but the fence', async () => {
  const lease = { token: 1, nonce: 'a' };
  await raiseFence(space.redis, { prefix: space.prefix, threadId: 't' }, lease);
  const holder = saverOf('run').withLease({ lease, runId: 'run' });
  for (let i = 0; i < 3; i += 1) await putCheckpoint(holder, 't', { values: { m: i } });
  expect(await holder.rollback('t', 'run')).toBe(true);
  expect(await space.keys()).toEqual([`${space.prefix}:{/t}:fence`]);
  expect(await holder.getTuple(config())).toBeUndefined();
});

test('only the run that wrote last is taken back', async () => {
  await putCheckpoint(saverOf('first'), 't', { values: { m: 1 } });
  await putCheckpoint(saverOf('second'), 't', { values: { m: 2 } });
  const before = await content();
  expect(await saverOf('first').rollback('t', 'first')).toBe(false);
  expect(await saverOf('third').rollback('t', 'third')).toBe(false);
  expect(await saverOf('none').rollback('elsewhere', 'none')).toBe(false);
  await putCheckpoint(new RedisSaver(space.redis, { prefix: space.prefix, keepCheckpoints: 0 }), 't');
  expect(await saverOf('second').rollback('t', 'second')).toBe(false);
  for (const [key, value] of before)
    if (key.startsWith(':c')) expect((await content()).get(key)).toEqual(value);
});

test('what a run began from is not pruned while the run can be taken back', async () => {
  const keep = 2;
  const base = await putCheckpoint(saverOf('first', keep), 't', { values: { m: 'base' } });
  const inside = await putCheckpoint(saverOf('first', keep), 't', {
    ns: 'node:1',
    values: { s: 'inside' },
    metadata: { parents: { '': base } },
  });
  const second = saverOf('second', keep);
  for (let i = 0; i < 30; i += 1) {
    await putCheckpoint(second, 't', { values: { m: i } });
    await putCheckpoint(second, 't', {
      ns: 'node:1',
      values: { s: i },
      metadata: { parents: { '': base } },
    });
  }
  expect((await listIds(second, 't')).length).toBeLessThanOrEqual(keep + 1);
  await second.rollback('t', 'second');
  expect([await listIds(second, 't'), await listIds(second, 't', 'node:1')]).toEqual([[base], [inside]]);
  expect((await second.getTuple(config()))?.checkpoint.channel_values).toEqual({ m: 'base' });
  const third = saverOf('third', keep);
  for (let i = 0; i < 30; i += 1) await putCheckpoint(third, 't', { values: { m: i } });
  for (let i = 0; i < 30; i += 1) await putCheckpoint(saverOf('fourth', keep), 't', { values: { m: i } });
  expect(await third.getTuple(config(base))).toBeUndefined();
});

test('a new holder stops a long rollback, and can finish it', async () => {
  const thread = { prefix: space.prefix, threadId: 't' };
  await raiseFence(space.redis, thread, { token: 1, nonce: 'a' });
  const [first, second] = ['first', 'second'].map((runId) =>
    saverOf('').withLease({ lease: { token: 1, nonce: 'a' }, runId }),
  ) as [RedisSaver, RedisSaver];
  const base = await putCheckpoint(first, 't');
  for (let i = 0; i < 1000; i += 1) await putCheckpoint(second, 't');
  // One connection keeps the order: the fence rises after the first step.
  const rolling = second.rollback('t', 'second');
  const raised = raiseFence(space.redis, thread, { token: 2, nonce: 'b' });
  await expect(rolling).rejects.toThrow(FenceError);
  expect(await raised).toEqual({ raised: true, head: base });
  expect((await listIds(first, 't')).length).toBeGreaterThan(1);
  const next = saverOf('').withLease({ lease: { token: 2, nonce: 'b' }, runId: 'rollback' });
  expect(await next.rollback('t', 'second')).toBe(true);
  expect(await listIds(first, 't')).toEqual([base]);
});
