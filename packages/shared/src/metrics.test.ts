import { afterEach, beforeEach, expect, it } from 'vitest';
import { createLogger } from './logger.ts';
import { Registry, registerQueueMetrics, registerRunMetrics } from './metrics.ts';
import { Doorbell } from './queue.ts';
import { RunStore } from './run-store.ts';
import { type TestRedis, testRedis } from './test-redis.ts';

let test: TestRedis;
let store: RunStore;
let doorbell: Doorbell;
let registry: Registry;
let queues: string[];

beforeEach(async () => {
  test = await testRedis();
  store = new RunStore(test.redis, { keys: test.keys });
  doorbell = new Doorbell(test.redis, store);
  registry = new Registry();
  queues = ['default'];
  const logger = createLogger('test', 'silent');
  registerQueueMetrics(registry, { queues: async () => queues, doorbell, store, logger });
});
afterEach(async () => {
  await doorbell.close();
  await test.close();
});

async function submit(thread: string, queue = 'default') {
  const request = { kind: 'graph' as const, graph: 'agent', assistantId: 'a', input: {}, streamModes: [] };
  const result = await store.submit({
    tenant: 't',
    thread,
    createThread: true,
    request,
    queue,
    multitask: 'enqueue',
  });
  if (result.outcome !== 'accepted') throw new Error(result.outcome);
  return result.job;
}

it('counts what is in the queue, what is on its way there, and what is neither', async () => {
  for (let i = 0; i < 15; i++) await doorbell.ring([await submit(`rung-${i}`)]);
  for (let i = 0; i < 5; i++) await submit(`unrung-${i}`);
  // Behind another run of its thread: no demand.
  await submit('rung-0');
  const text = await registry.metrics();
  expect(text).toContain('millrace_queue_runs{queue="default",state="waiting"} 15\n');
  expect(text).toContain('millrace_queue_runs{queue="default",state="active"} 0\n');
  expect(text).toContain('millrace_queue_runs{queue="default",state="unrung"} 5\n');
  expect(text).toContain('millrace_queue_demand{queue="default"} 20\n');
  expect(text).toMatch(/millrace_queue_oldest_wait_seconds\{queue="default"\} [\d.]+\n/);
  expect(text).toContain('millrace_redis_up 1\n');
});

it('shows a queue that no worker has told of, and forgets one that is gone', async () => {
  await submit('a', 'slow');
  queues.push('old');
  expect(await registry.metrics()).toContain('millrace_queue_demand{queue="slow"} 1\n');
  queues.pop();
  expect(await registry.metrics()).not.toContain('"old"');
});

it('asks for the first worker when none has ever been here', async () => {
  queues = [];
  expect(await registry.metrics()).toContain('millrace_queue_demand{queue="default"} 1\n');
});

it('goes without the queues when Redis does not answer', async () => {
  registerRunMetrics(registry).wait.observe({ graph: 'agent', status: 'succeeded' }, 1);
  await registry.metrics();
  test.redis.disconnect();
  const text = await registry.metrics();
  expect(text).toContain('millrace_redis_up 0\n');
  expect(text).not.toContain('millrace_queue_demand{');
  expect(text).toContain('millrace_run_wait_seconds_count{graph="agent",status="succeeded"} 1\n');
  await test.redis.connect();
});
