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
