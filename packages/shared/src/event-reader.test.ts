import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { EventHub } from './event-hub.ts';
import { EventReader } from './event-reader.ts';
import { createLogger } from './logger.ts';
import { RunStore } from './run-store.ts';
import { type TestRedis, testRedis } from './test-redis.ts';

let test: TestRedis;

beforeEach(async () => {
  test = await testRedis();
});
afterEach(() => test.close());

async function submit(): Promise<string> {
  const store = new RunStore(test.redis, { keys: test.keys });
  const run = await store.submit({
    tenant: 't',
    thread: 'a',
    createThread: true,
    request: { kind: 'graph', graph: 'agent', assistantId: 'a', input: {}, streamModes: [] },
    queue: 'default',
    multitask: 'enqueue',
  });
  if (run.outcome !== 'accepted') throw new Error(run.outcome);
  return run.runId;
}

it('waits no longer than it is told, also when the subscription is down', async () => {
  const runId = await submit();
  // Nobody listens there.
  const subscriber = new Redis(1, '127.0.0.1', { maxRetriesPerRequest: null });
  subscriber.on('error', () => undefined);
  const hub = new EventHub(subscriber, test.redis, test.keys, createLogger('test', 'silent'));
  const reader = new EventReader(test.redis, test.keys, hub);
  expect(await reader.waitForEnd(runId, { timeoutMs: 10 })).toBe('queued');
  const signal = AbortSignal.abort();
  expect(await reader.waitForEnd(runId, { timeoutMs: 3600_000, signal })).toBe('queued');
  hub.close();
});

it('looks only once it is subscribed, also when it may wait for ever', async () => {
  const runId = await submit();
  const order: string[] = [];
  const gone = new AbortController();
  const ready = async () => {
    // Far longer than a timer that was set to Infinity, and fires at once.
    for (let i = 0; i < 50; i++) await test.redis.ping();
    order.push('subscribed');
  };
  const next = async () => {
    order.push('waits');
    gone.abort();
    return undefined;
  };
  const hub = { watch: () => ({ ready: ready(), next, close: () => undefined }) } as unknown as EventHub;
  const reader = new EventReader(test.redis, test.keys, hub);
  await reader.waitForEnd(runId, { timeoutMs: Number.POSITIVE_INFINITY, signal: gone.signal });
  expect(order).toEqual(['subscribed', 'waits']);
});

it('has nothing more to say to a client that has seen the end, and a gap for one whose past is gone', async () => {
  const runId = await submit();
  const store = new RunStore(test.redis, { keys: test.keys });
  await store.cancel(runId);
  const hub = new EventHub(test.subscriber(), test.redis, test.keys, createLogger('test', 'silent'));
  const reader = new EventReader(test.redis, test.keys, hub);
  // The test's own limit is shorter than the reader's look-again: a reader that waits for more fails it.
  const read = async (after?: { seq: number; token: number }) => {
    const events = [];
    for await (const event of reader.follow(runId, { after })) events.push(event);
    return events;
  };
  const [end] = await read();
  expect(end).toMatchObject({ seq: 1, name: 'end' });
  expect(await read(end)).toEqual([]);
  expect((await read({ seq: 1, token: 7 })).map((event) => event.name)).toEqual(['gap', 'end']);
  expect((await read({ seq: 9, token: 7 })).map((event) => event.name)).toEqual(['gap', 'end']);
  hub.close();
}, 10_000);

it('gives all of a long stream with few and small reads, however large its events', async () => {
  const runId = await submit();
  const store = new RunStore(test.redis, { keys: test.keys });
  const by = { worker: 'w', nonce: 'n', leaseMs: 60_000, crashBudget: 1 };
  const claim = await store.claim(runId, by, { token: 0, head: '' });
  if (claim.outcome !== 'claimed') throw new Error(claim.outcome);
  const sizes = [...Array(600).fill(10), ...Array(40).fill(50_000), 3_000_000, ...Array(600).fill(10)];
  const events = sizes.map((size: number) => ({ name: 'custom', data: 'x'.repeat(size) }));
  await store.emit(runId, claim.lease, 1, events);
  await store.finish(runId, claim.lease, { status: 'succeeded' });

  const hub = new EventHub(test.subscriber(), test.redis, test.keys, createLogger('test', 'silent'));
  const redis = test.connect();
  const xrange = redis.xrange.bind(redis) as (...args: unknown[]) => Promise<[string, string[]][]>;
  let pages = 0;
  let bytes = 0;
  Reflect.set(redis, 'xrange', async (...args: unknown[]) => {
    const page = await xrange(...args);
    pages += 1;
    for (const [, fields] of page) bytes += fields.join('').length;
    return page;
  });
  const seen: number[] = [];
  for await (const event of new EventReader(redis, test.keys, hub).follow(runId)) {
    seen.push(event.data.length);
  }
  expect(seen.slice(0, -1)).toEqual(sizes);
  expect(pages).toBeLessThan(100);
  // What did not fit was read again, and not over and over.
  const once = sizes.reduce((sum: number, size: number) => sum + size, 0);
  expect(bytes).toBeLessThan(3 * once);
  hub.close();
});
