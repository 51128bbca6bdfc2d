import { createRequire } from 'node:module';
import { uuid6 } from '@langchain/langgraph-checkpoint';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RedisSaver } from './index.ts';
import { decodePart, encodePart } from './keys.ts';
import { listIds, openSpace, putCheckpoint, type TestSpace } from './testing.ts';

// What ioredis itself computes slots with.
const fromIoredis = createRequire(createRequire(import.meta.url).resolve('ioredis'));
const calculateSlot = fromIoredis('cluster-key-slot') as (key: string) => number;

let space: TestSpace;
let saver: RedisSaver;
beforeEach(() => {
  space = openSpace();
  saver = new RedisSaver(space.redis, { prefix: space.prefix });
});
afterEach(() => space.close());

const config = (threadId: string, checkpoint_id?: string, checkpoint_ns = '') => ({
  configurable: { thread_id: threadId, checkpoint_ns, ...(checkpoint_id ? { checkpoint_id } : {}) },
});

test('the head is the last put, even when its id is smaller', async () => {
  const late = uuid6(1);
  const early = uuid6(2).replace(/^......../, '00000000');
  expect(early < late).toBe(true);
  await putCheckpoint(saver, 't', { id: late, values: { a: 'first' } });
  await putCheckpoint(saver, 't', { id: early, parent: late, values: { a: 'second' } });
  expect((await saver.getTuple(config('t')))?.checkpoint.channel_values).toEqual({ a: 'second' });
  expect(await listIds(saver, 't')).toEqual([early, late]);
});

test('before is a position, not an id, and falls back on ids when it is unknown', async () => {
  const ids = ['c', 'a', 'b'];
  for (const id of ids) await putCheckpoint(saver, 't', { id });
  const below = async (id: string) => {
    const found = [];
    for await (const tuple of saver.list(config('t'), { before: config('t', id) })) {
      found.push(tuple.checkpoint.id);
    }
    return found;
  };
  expect(await below('b')).toEqual(['a', 'c']);
  expect(await below('c')).toEqual([]);
  expect(await below('bb')).toEqual(['b', 'a']);
});

test('list reads long histories page by page', async () => {
  const ids: string[] = [];
  for (let i = 0; i < 50; i += 1) ids.unshift(await putCheckpoint(saver, 't'));
  expect(await listIds(saver, 't')).toEqual(ids);
});

test('a checkpoint that arrives after its child does not take the head from it', async () => {
  await putCheckpoint(saver, 't', { id: 'child', parent: 'stub' });
  await putCheckpoint(saver, 't', { id: 'stub' });
  expect((await saver.getTuple(config('t')))?.checkpoint.id).toBe('child');
});

test('run_id in the metadata comes from the saver, not from the caller', async () => {
  const run = saver.withLease({ lease: { token: 1, nonce: 'n' }, runId: 'mine' });
  await space.redis.hset(`${space.prefix}:{/t}:fence`, { token: '1', nonce: 'n' });
  await run.put(
    { configurable: { thread_id: 't', run_id: 'theirs' }, metadata: { run_id: 'theirs' } },
    { v: 4, id: 'x', ts: '', channel_values: {}, channel_versions: {}, versions_seen: {} },
    { source: 'loop', step: 0, parents: {}, run_id: 'theirs' } as never,
    {},
  );
  expect((await saver.getTuple(config('t')))?.metadata).toMatchObject({ run_id: 'mine' });
});

test('two branches from one checkpoint keep their own values', async () => {
  const base = saver.getNextVersion(undefined);
  const root = await putCheckpoint(saver, 't', { values: { m: 'root' }, versions: { m: base } });
  const branches: string[] = [];
  for (const value of ['left', 'right']) {
    const versions = { m: saver.getNextVersion(base) };
    branches.push(await putCheckpoint(saver, 't', { parent: root, values: { m: value }, versions }));
  }
  const values = await Promise.all(branches.map((id) => saver.getTuple(config('t', id))));
  expect(values.map((tuple) => tuple?.checkpoint.channel_values)).toEqual([{ m: 'left' }, { m: 'right' }]);
});

test('versions only grow, from integers of another saver too', () => {
  let version = saver.getNextVersion(7);
  expect(version).toBeGreaterThan(7);
  for (let i = 0; i < 1000; i += 1) {
    const next = saver.getNextVersion(version);
    expect(next).toBeGreaterThan(version);
    expect(Number(String(next))).toBe(next);
    version = next;
  }
});

const ODD = [
  '',
  'a b',
  'x}y{z',
  '{}',
  ':',
  '/',
  'a/b',
  '%',
  '%2F',
  '*?[a]',
  'ü',
  '💧',
  '\ud800',
  '\ud801',
  'a\0b\n',
];

test('odd names come back from their encoding and stay apart', () => {
  expect(ODD.map((name) => decodePart(encodePart(name)))).toEqual(ODD);
  expect(new Set(ODD.map(encodePart)).size).toBe(ODD.length);
  for (const name of ODD) expect(encodePart(name)).toMatch(/^[\w.%-]*$/);
});

test('threads, namespaces and checkpoint namespaces with odd names do not mix', async () => {
  for (const namespace of ODD) {
    const tenant = new RedisSaver(space.redis, { prefix: space.prefix, namespace });
    for (const threadId of ODD) {
      await putCheckpoint(tenant, threadId, { id: 'c', ns: 'n|x:1', values: { at: [namespace, threadId] } });
      await tenant.putWrites(config(threadId, 'c', 'n|x:1'), [['ch', threadId]], 'task\0x');
    }
  }
  for (const namespace of ODD) {
    const tenant = new RedisSaver(space.redis, { prefix: space.prefix, namespace });
    const seen: string[] = [];
    for await (const tuple of tenant.list({})) {
      const threadId = tuple.config.configurable?.thread_id;
      seen.push(threadId);
      expect(tuple.checkpoint.channel_values).toEqual({ at: [namespace, threadId] });
      expect(tuple.pendingWrites).toEqual([['task\0x', 'ch', threadId]]);
    }
    expect(seen.sort()).toEqual([...ODD].sort());
  }
});

test('all keys of a thread are in one slot', async () => {
  const tenant = new RedisSaver(space.redis, { prefix: space.prefix, namespace: 'te}nant' });
  const root = await putCheckpoint(tenant, 'th{re}ad', { values: { m: 1 } });
  await putCheckpoint(tenant, 'th{re}ad', {
    ns: 'sub:1',
    values: { m: 1 },
    metadata: { parents: { '': root } },
  });
  await tenant.putWrites(config('th{re}ad', root), [['m', 1]], 'task');
  await tenant.putWrites(config('th{re}ad', 'not-yet'), [['m', 1]], 'task');
  await tenant.pin('th{re}ad', root);
  const keys = await space.keys();
  expect(keys.length).toBeGreaterThan(10);
  expect(new Set(keys.map((key) => calculateSlot(key))).size).toBe(1);
});

test('a prefix with braces is refused', async () => {
  const broken = new RedisSaver(space.redis, { prefix: 'a{b}' });
  await expect(putCheckpoint(broken, 't')).rejects.toThrow(TypeError);
});

test('writes may come before their checkpoint, and the first of two equal ones stays', async () => {
  await saver.putWrites(
    config('t', 'c'),
    [
      ['a', 1],
      ['__interrupt__', 'first'],
    ],
    'task',
  );
  await saver.putWrites(
    config('t', 'c'),
    [
      ['a', 2],
      ['__interrupt__', 'second'],
    ],
    'task',
  );
  expect(await space.redis.zcard(`${space.prefix}:{/t}:early`)).toBe(1);
  await putCheckpoint(saver, 't', { id: 'c' });
  expect(await space.redis.zcard(`${space.prefix}:{/t}:early`)).toBe(0);
  expect((await saver.getTuple(config('t')))?.pendingWrites).toEqual([
    ['task', '__interrupt__', 'second'],
    ['task', 'a', 1],
  ]);
});

test('deleteThread leaves nothing, whatever a thread holds', async () => {
  await saver.putWrites(config('t', 'never'), [['a', 1]], 'task');
  for (let i = 0; i < 250; i += 1) {
    const root = await putCheckpoint(saver, 't', { values: { m: i } });
    const parents = { '': root };
    await putCheckpoint(saver, 't', { ns: `sub:${i}`, values: { m: i }, metadata: { parents } });
  }
  await putCheckpoint(saver, 't', { ns: 'early:1', metadata: { parents: { '': 'never-put' } } });
  await saver.deleteThread('t');
  expect(await space.keys()).toEqual([]);
});

test('tells of what was stored, and not of what was refused', async () => {
  const writes: number[] = [];
  const onWrite = (bytes: number) => void writes.push(bytes);
  const told = new RedisSaver(space.redis, { prefix: space.prefix, onWrite });
  await putCheckpoint(told, 't', { id: 'a', values: { text: 'x'.repeat(1000) } });
  await told.putWrites(config('t', 'a'), [['text', 'y'.repeat(500)]], 'task');
  expect(writes[0]).toBeGreaterThan(1000);
  expect(writes[1]).toBeGreaterThan(500);
  expect(writes[1]).toBeLessThan(600);
  const stranger = told.withLease({ lease: { token: 1, nonce: 'n' } });
  await expect(stranger.putWrites(config('t', 'a'), [['text', 'z']], 'task')).rejects.toThrow();
  expect(writes).toHaveLength(2);
});
