import { afterEach, beforeEach, expect, test } from 'vitest';
import { blobField } from './codec.ts';
import { RedisSaver } from './index.ts';
import { listIds, openSpace, putCheckpoint, type TestSpace } from './testing.ts';

let space: TestSpace;
beforeEach(() => {
  space = openSpace();
});
afterEach(() => space.close());

const saverOf = (keepCheckpoints: number) =>
  new RedisSaver(space.redis, { prefix: space.prefix, keepCheckpoints });
const config = (checkpoint_id?: string, checkpoint_ns = '') => ({
  configurable: { thread_id: 't', checkpoint_ns, ...(checkpoint_id ? { checkpoint_id } : {}) },
});

test('400 turns of a growing list stay bounded, and the head stays whole', async () => {
  const saver = saverOf(10);
  const messages: string[] = [];
  let parent: string | undefined;
  let version: number | undefined;
  const turn = async () => {
    messages.push('x'.repeat(200));
    version = saver.getNextVersion(version);
    const versions = { messages: version, constant: 1 };
    parent = await putCheckpoint(saver, 't', {
      parent,
      values: { messages: [...messages], constant: 'set once' },
      versions,
      newVersions: messages.length === 1 ? versions : { messages: version },
    });
    await saver.putWrites(config(parent), [['messages', 'x'.repeat(200)]], 'task');
  };
  while (messages.length < 200) await turn();
  const half = await space.memory();
  while (messages.length < 400) await turn();
  const full = await space.memory();
  // Twice the list, in the same number of versions: about twice the bytes, not four times.
  expect(full / half).toBeLessThan(2.5);
  expect(await space.redis.hlen(`${space.prefix}:{/t}:b:`)).toBe(11);
  expect((await listIds(saver, 't')).length).toBe(10);
  expect((await space.keys()).length).toBeLessThan(30);
  const tuple = await saver.getTuple(config());
  expect(tuple?.checkpoint.channel_values).toEqual({ messages, constant: 'set once' });
});

test('keepCheckpoints 0 keeps all', async () => {
  const saver = saverOf(0);
  for (let i = 0; i < 150; i += 1) await putCheckpoint(saver, 't');
  expect((await listIds(saver, 't')).length).toBe(150);
});

test('what is pinned stays whole until it is unpinned, however much of it there is', async () => {
  const saver = saverOf(3);
  const pinned: string[] = [];
  for (let i = 0; i < 12; i += 1) {
    const id = await putCheckpoint(saver, 't', { values: { m: `pinned ${i}` } });
    expect(await saver.pin('t', id)).toBe(true);
    pinned.push(id);
  }
  for (let i = 0; i < 60; i += 1) await putCheckpoint(saver, 't', { values: { m: i } });
  const kept = await listIds(saver, 't');
  expect(kept.slice(-12)).toEqual([...pinned].reverse());
  // The scan passes the pinned ones a few at a time.
  expect(kept.length).toBeLessThanOrEqual(12 + 3 + 4);
  expect((await saver.getTuple(config(pinned[3])))?.checkpoint.channel_values).toEqual({ m: 'pinned 3' });
  for (const id of pinned) expect(await saver.unpin('t', id)).toBe(true);
  expect(await saver.unpin('t', pinned[0] ?? '')).toBe(false);
  for (let i = 0; i < 10; i += 1) await putCheckpoint(saver, 't', { values: { m: i } });
  expect((await listIds(saver, 't')).length).toBe(3);
  expect(await saver.pin('t', pinned[0] ?? '')).toBe(false);
});

test('a value that a fork still holds outlives the branch it came from', async () => {
  const saver = saverOf(2);
  const root = await putCheckpoint(saver, 't', { values: { m: 'shared' }, versions: { m: 1 } });
  for (let i = 0; i < 3; i += 1) {
    await putCheckpoint(saver, 't', { parent: root, values: { m: `branch ${i}` }, versions: { m: 10 + i } });
    if (i === 0) await saver.pin('t', root);
  }
  const fork = await putCheckpoint(saver, 't', { parent: root, versions: { m: 1 }, newVersions: {} });
  await saver.unpin('t', root);
  for (let i = 0; i < 5; i += 1) {
    await putCheckpoint(saver, 't', { parent: fork, versions: { m: 1 }, newVersions: {} });
  }
  expect((await listIds(saver, 't')).length).toBe(2);
  expect((await saver.getTuple(config(root)))?.checkpoint.id).toBeUndefined();
  expect((await saver.getTuple(config()))?.checkpoint.channel_values).toEqual({ m: 'shared' });
  expect(await space.redis.hkeys(`${space.prefix}:{/t}:b:`)).toEqual([blobField('m', 1)]);
});

test('with a window of one, the next checkpoint still finds what it carries over', async () => {
  const saver = saverOf(1);
  const root = await putCheckpoint(saver, 't', { values: { a: 'old', b: 0 }, versions: { a: 1, b: 1 } });
  await putCheckpoint(saver, 't', {
    parent: root,
    values: { a: 'old', b: 1 },
    versions: { a: 1, b: 2 },
    newVersions: { b: 2 },
  });
  expect((await saver.getTuple(config()))?.checkpoint.channel_values).toEqual({ a: 'old', b: 1 });
  expect((await listIds(saver, 't')).length).toBe(1);
});

test('one put removes a bounded number when the window shrinks', async () => {
  const wide = saverOf(0);
  for (let i = 0; i < 100; i += 1) await putCheckpoint(wide, 't', { values: { m: i } });
  const narrow = saverOf(10);
  await putCheckpoint(narrow, 't', { values: { m: 'x' } });
  expect((await listIds(narrow, 't')).length).toBe(97);
  for (let i = 0; i < 40; i += 1) await putCheckpoint(narrow, 't', { values: { m: i } });
  expect((await listIds(narrow, 't')).length).toBe(10);
});

test('the sub-graphs of pruned steps go with them; those of the thread and of kept steps stay', async () => {
  const saver = saverOf(5);
  const roots: string[] = [];
  for (let i = 0; i < 60; i += 1) {
    const root = await putCheckpoint(saver, 't', { values: { m: i } });
    roots.push(root);
    const parents = { '': root };
    await putCheckpoint(saver, 't', { ns: `node:${i}`, values: { s: i }, metadata: { parents } });
    await putCheckpoint(saver, 't', { ns: `node:${i}|in:${i}`, values: { s: i }, metadata: { parents } });
    if (i === 0) {
      await putCheckpoint(saver, 't', {
        ns: 'memory',
        id: 'kept',
        values: { s: 'kept' },
        metadata: { parents },
      });
      await saver.pin('t', root);
    }
  }
  const namespaces = await space.redis.zrange(`${space.prefix}:{/t}:ns`, 0, -1);
  expect(namespaces.length).toBeLessThanOrEqual(2 + 2 * (5 + 1 + 4));
  expect((await saver.getTuple(config(undefined, 'node:0|in:0')))?.checkpoint.channel_values).toEqual({
    s: 0,
  });
  expect((await saver.getTuple(config(undefined, 'memory')))?.checkpoint.channel_values).toEqual({
    s: 'kept',
  });
  expect(await saver.getTuple(config(undefined, 'node:3'))).toBeUndefined();
  expect((await saver.getTuple(config(undefined, 'node:59')))?.checkpoint.channel_values).toEqual({ s: 59 });
  const strays = (await space.keys()).filter((key) => /:(w|c|b|r|i):node%3A[3-9]\b/.test(key));
  expect(strays).toEqual([]);
});

test('a sub-graph that goes on under a newer step is kept with that one', async () => {
  const saver = saverOf(2);
  const put = async (values: Record<string, unknown>) => {
    const root = await putCheckpoint(saver, 't', { values });
    await putCheckpoint(saver, 't', { ns: 'node:1', values, metadata: { parents: { '': root } } });
  };
  await put({ m: 'first' });
  await put({ m: 'second' });
  // Prunes the first step, and with it what only that one owned.
  await putCheckpoint(saver, 't');
  const tuple = await saver.getTuple(config(undefined, 'node:1'));
  expect(tuple?.checkpoint.channel_values).toEqual({ m: 'second' });
  for (let i = 0; i < 2; i += 1) await putCheckpoint(saver, 't');
  expect(await saver.getTuple(config(undefined, 'node:1'))).toBeUndefined();
});

test('a head that is older than the window stays', async () => {
  const saver = saverOf(1);
  const first = await putCheckpoint(saver, 't', { values: { m: 1 } });
  await saver.pin('t', first);
  for (let i = 0; i < 3; i += 1) await putCheckpoint(saver, 't');
  await saver.unpin('t', first);
  await putCheckpoint(saver, 't', { id: first, values: { m: 2 } });
  expect((await saver.getTuple(config()))?.checkpoint.channel_values).toEqual({ m: 2 });
});

test('writes for checkpoints that never come do not pile up', async () => {
  const saver = saverOf(2);
  for (let i = 0; i < 1200; i += 1) await saver.putWrites(config(`never-${i}`), [['a', i]], 'task');
  const orphans = (await space.keys()).filter((key) => key.includes(':w:'));
  expect(orphans.length).toBe(1024);
});
