import { createServer, type Socket, connect as tcp } from 'node:net';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FenceError, type Lease, RedisSaver, raiseFence, readFence } from './index.ts';
import { listIds, openSpace, putCheckpoint, type TestSpace } from './testing.ts';

let space: TestSpace;
let saver: RedisSaver;
beforeEach(() => {
  space = openSpace();
  saver = new RedisSaver(space.redis, { prefix: space.prefix });
});
afterEach(() => space.close());

const thread = (threadId = 't') => ({ prefix: space.prefix, threadId });
const config = (checkpoint_id: string) => ({
  configurable: { thread_id: 't', checkpoint_ns: '', checkpoint_id },
});
const raise = (lease: Lease) => raiseFence(space.redis, thread(), lease);

/** All that is stored, without the time of the last write. */
async function content(): Promise<Record<string, unknown>> {
  const dump: Record<string, unknown> = {};
  for (const key of await space.keys()) {
    const type = await space.redis.type(key);
    if (type === 'hash') {
      const hash = await space.redis.hgetall(key);
      if (key.endsWith('}')) delete hash.t;
      dump[key] = hash;
    } else if (type === 'zset') dump[key] = await space.redis.zrange(key, 0, -1, 'WITHSCORES');
    else dump[key] = (await space.redis.smembers(key)).sort();
  }
  return dump;
}

test('a fence only rises, and tells the head', async () => {
  expect(await readFence(space.redis, thread())).toBe(0);
  expect(await raise({ token: 5, nonce: 'a' })).toEqual({ raised: true });
  expect(await raise({ token: 5, nonce: 'b' })).toEqual({ raised: false, token: 5 });
  expect(await raise({ token: 4, nonce: 'b' })).toEqual({ raised: false, token: 5 });
  expect(await raise({ token: 5, nonce: 'a' })).toEqual({ raised: true });
  const id = await putCheckpoint(saver.withLease({ lease: { token: 5, nonce: 'a' } }), 't');
  expect(await raise({ token: 6, nonce: 'b' })).toEqual({ raised: true, head: id });
  expect(await readFence(space.redis, thread())).toBe(6);
});

test('a holder whose writes the store has forgotten is refused until the fence is raised', async () => {
  const lease = { token: 5, nonce: 'a' };
  await raise(lease);
  const holder = saver.withLease({ lease });
  const first = await putCheckpoint(holder, 't', { values: { m: 1 } });
  const snapshot = await Promise.all(
    (await space.keys()).map(async (key) => [key, await space.redis.dumpBuffer(key)] as const),
  );
  const second = await putCheckpoint(holder, 't', { parent: first, values: { n: 1 } });
  await space.redis.unlink(...(await space.keys()));
  for (const [key, value] of snapshot) await space.redis.restore(key, 0, value);
  const before = await content();
  for (const write of [
    () => putCheckpoint(holder, 't', { parent: second }),
    () => holder.putWrites(config(second), [['a', 1]], 'task'),
    () => holder.describe(config(first), { tasks: [], channels: [] }),
    () => holder.deleteThread('t'),
  ]) {
    await expect(write()).rejects.toThrow(/gone, as after a restored snapshot/);
  }
  expect(await content()).toEqual(before);
  // The same lease raised once more is no new beginning.
  await raise(lease);
  await expect(putCheckpoint(holder, 't')).rejects.toThrow(FenceError);
  const next = { token: 6, nonce: 'b' };
  expect(await raise(next)).toEqual({ raised: true, head: first });
  await putCheckpoint(saver.withLease({ lease: next }), 't', { parent: first });
});

test('tokens are exact up to 2^53', async () => {
  const top = Number.MAX_SAFE_INTEGER;
  expect(await raise({ token: top - 1, nonce: 'a' })).toEqual({ raised: true });
  expect(await raise({ token: top, nonce: 'b' })).toEqual({ raised: true });
  expect(await raise({ token: top - 1, nonce: 'c' })).toEqual({ raised: false, token: top });
  expect(await readFence(space.redis, thread())).toBe(top);
  await putCheckpoint(saver.withLease({ lease: { token: top, nonce: 'b' } }), 't');
  const old = saver.withLease({ lease: { token: top - 1, nonce: 'b' } });
  await expect(putCheckpoint(old, 't')).rejects.toMatchObject({ token: top - 1, heldToken: top });
});

test.each([0, -1, 1.5, 2 ** 53, Number.NaN])('%s is no token', async (token) => {
  await expect(raise({ token, nonce: 'a' })).rejects.toThrow(RangeError);
  expect(() => saver.withLease({ lease: { token, nonce: 'a' } })).toThrow(RangeError);
});

describe('every write is refused, and changes nothing,', () => {
  const writes: [string, (refused: RedisSaver, id: string) => Promise<unknown>][] = [
    ['put', (refused) => putCheckpoint(refused, 't')],
    ['putWrites', (refused, id) => refused.putWrites(config(id), [['a', 1]], 'task')],
    ['describe', (refused, id) => refused.describe(config(id), { tasks: [], channels: [] })],
    ['pin', (refused, id) => refused.pin('t', id)],
    ['unpin', (refused, id) => refused.unpin('t', id)],
    ['rollback', (refused) => refused.rollback('t', 'run')],
    ['deleteThread', (refused) => refused.deleteThread('t')],
  ];
  const holders: [string, Lease | undefined][] = [
    ['an older token', { token: 9, nonce: 'held' }],
    ['a newer token that was never raised', { token: 11, nonce: 'held' }],
    ['the same token of another holder', { token: 10, nonce: 'other' }],
    ['no lease', undefined],
  ];
  for (const [name, write] of writes) {
    test.each(holders)(`${name} with %s`, async (_, lease) => {
      await raise({ token: 10, nonce: 'held' });
      const holder = saver.withLease({ lease: { token: 10, nonce: 'held' }, runId: 'run' });
      const id = await putCheckpoint(holder, 't', { values: { a: 1 } });
      await putCheckpoint(holder, 't', { parent: id, values: { a: 2 } });
      await holder.pin('t', id);
      const before = await content();
      const refused = lease ? saver.withLease({ lease }) : saver;
      const failure = await write(refused, id).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(FenceError);
      expect(failure).toMatchObject({
        name: 'FenceError',
        threadId: 't',
        token: lease?.token,
        heldToken: 10,
      });
      expect(await content()).toEqual(before);
    });
  }
});

test('a lease on a thread without a fence is refused', async () => {
  const holder = saver.withLease({ lease: { token: 1, nonce: 'a' } });
  await expect(putCheckpoint(holder, 't')).rejects.toMatchObject({ name: 'FenceError', heldToken: 0 });
  expect(await space.keys()).toEqual([]);
});

test('a fence holds for its own thread and namespace only', async () => {
  await raise({ token: 1, nonce: 'a' });
  await putCheckpoint(saver, 'other');
  await putCheckpoint(new RedisSaver(space.redis, { prefix: space.prefix, namespace: 'tenant' }), 't');
  await expect(putCheckpoint(saver, 't')).rejects.toThrow(FenceError);
});

test('deleteThread leaves the fence', async () => {
  const lease = { token: 7, nonce: 'a' };
  await raise(lease);
  const holder = saver.withLease({ lease });
  await putCheckpoint(holder, 't', { values: { a: 1 } });
  await holder.deleteThread('t');
  expect(await space.keys()).toEqual([`${space.prefix}:{/t}:fence`]);
  await expect(putCheckpoint(saver, 't')).rejects.toThrow(FenceError);
});

test('when two holders race, all writes of the old one come before all of the new one', async () => {
  const [old, fresh] = [
    { token: 1, nonce: 'old' },
    { token: 2, nonce: 'fresh' },
  ];
  await raise(old);
  const slow = new RedisSaver(space.connect(), { prefix: space.prefix, lease: old, keepCheckpoints: 0 });
  const quick = new RedisSaver(space.connect(), { prefix: space.prefix, lease: fresh, keepCheckpoints: 0 });
  const refusals: unknown[] = [];
  const zombie = (async () => {
    for (let i = 0; ; i += 1) {
      await putCheckpoint(slow, 't', { id: `old-${i}` }).catch((error: unknown) => refusals.push(error));
      if (refusals.length > 0) return;
    }
  })();
  while ((await listIds(saver, 't')).length < 20);
  await raise(fresh);
  for (let i = 0; i < 20; i += 1) await putCheckpoint(quick, 't', { id: `new-${i}` });
  await zombie;
  expect(refusals).toEqual([expect.any(FenceError)]);
  const order = (await listIds(saver, 't')).map((id) => id.slice(0, 3)).reverse();
  expect(order.filter((name) => name === 'old').length).toBeGreaterThanOrEqual(20);
  expect(order).toEqual([...order].sort().reverse());
  expect((await saver.getTuple({ configurable: { thread_id: 't' } }))?.checkpoint.id).toBe('new-19');
});

/** The server that keeps a key: of a cluster the one that does not send us elsewhere. */
async function urlOf(key: string): Promise<string> {
  for (const server of space.servers()) {
    const here = await server.exists(key).then(
      () => true,
      () => false,
    );
    const { host, port, password } = server.options;
    if (here) return `redis://:${encodeURIComponent(password ?? '')}@${host}:${port}`;
  }
  throw new Error('no server keeps it');
}

test('a write whose reply was lost is sent again by the client and counts once', async () => {
  const url = new URL(await urlOf(`${space.prefix}:{/t}`));
  let swallow = false;
  let swallowed = 0;
  const sockets = new Set<Socket>();
  const proxy = createServer((client) => {
    const server = tcp(Number(url.port || 6379), url.hostname);
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
    }
    client.pipe(server);
    server.on('data', (reply) => {
      if (!swallow) return void client.write(reply);
      swallow = false;
      swallowed += 1;
      server.destroy();
      client.destroy();
    });
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const address = proxy.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  // The server behind may want a password.
  const through = new URL(url);
  through.host = `127.0.0.1:${port}`;
  const flaky = new Redis(through.href, { retryStrategy: () => 1 });
  const losing = new RedisSaver(flaky, { prefix: space.prefix, keepCheckpoints: 2 });
  try {
    let parent: string | undefined;
    for (let i = 0; i < 5; i += 1) {
      parent = await putCheckpoint(losing, 't', { parent, values: { m: i } });
    }
    const before = await content();
    // The same put, executed, its reply lost, sent again.
    const id = 'again';
    const put = async () =>
      putCheckpoint(losing, 't', { id, parent, values: { m: 'x' }, versions: { m: 99 } });
    swallow = true;
    await put();
    expect(swallowed).toBe(1);
    const once = await content();
    expect(once).not.toEqual(before);
    expect(Object.values((await space.redis.hgetall(`${space.prefix}:{/t}:r:`)) ?? {})).toEqual(['1', '1']);
    swallow = true;
    await losing.putWrites(config(id), [['a', 1]], 'task');
    const tuple = await losing.getTuple({ configurable: { thread_id: 't' } });
    expect(tuple?.pendingWrites).toEqual([['task', 'a', 1]]);
    expect(await listIds(losing, 't')).toEqual([id, parent]);
    const run = new RedisSaver(flaky, { prefix: space.prefix, runId: 'run' });
    await putCheckpoint(run, 't', { parent: id });
    swallow = true;
    await run.rollback('t', 'run');
    expect(swallowed).toBe(3);
    expect(await listIds(losing, 't')).toEqual([id, parent]);
  } finally {
    flaky.disconnect();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => proxy.close(resolve));
  }
});

test('the same put twice stores what one does', async () => {
  const root = await putCheckpoint(saver, 't', { values: { a: 1, b: 1 } });
  const put = () =>
    saver.put(
      config(root),
      {
        v: 4,
        id: 'x',
        ts: '2026-01-01T00:00:00Z',
        channel_values: { a: 2 },
        channel_versions: { a: 1000, b: 1001 },
        versions_seen: {},
      },
      { source: 'loop', step: 1, parents: {}, counters_since_delta_snapshot: { b: [1, 1] } },
      { a: 1000, b: 1001 },
    );
  await put();
  const once = await content();
  await put();
  expect(await content()).toEqual(once);
});
