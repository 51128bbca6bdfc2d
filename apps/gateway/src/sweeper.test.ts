import { Registry } from '@millrace/shared/metrics';
import { partitionOfThread } from '@millrace/shared/partition';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type TestGateway, testGateway } from './gateway-testing.ts';
import { registerSweeperMetrics } from './metrics.ts';
import { Sweeper } from './sweeper.ts';

let gateway: TestGateway;
let sweeper: Sweeper;

beforeEach(async () => {
  gateway = await testGateway();
  sweeper = new Sweeper(gateway.services, registerSweeperMetrics(gateway.registry));
});
afterEach(async () => {
  await sweeper.stop();
  await gateway.close();
});

const waiting = () => gateway.test.redis.lrange(`${gateway.test.keys.queuePrefix()}:default:wait`, 0, -1);

async function submit(thread: string): Promise<string> {
  const result = await gateway.services.store.submit({
    tenant: 'default',
    thread,
    createThread: true,
    request: { kind: 'graph', graph: 'agent', assistantId: 'a', input: {}, streamModes: [] },
    queue: 'default',
    multitask: 'enqueue',
  });
  if (result.outcome !== 'accepted') throw new Error(result.outcome);
  return result.runId;
}

async function expire(thread: string): Promise<void> {
  const { redis, keys } = gateway.test;
  const [key] = await redis.zrange(`${keys.root(partitionOfThread(thread))}:expiry`, 0, -1);
  await redis.zadd(`${keys.root(partitionOfThread(thread))}:expiry`, 0, key ?? '');
}

it('rings for who died before it could', async () => {
  const runs = await Promise.all(['a', 'b', 'c'].map(submit));
  expect(await waiting()).toEqual([]);
  await sweeper.round({ ringAfterMs: 0 });
  expect((await waiting()).sort()).toEqual(runs.map((run) => `${run}-1`).sort());
  await sweeper.round({ ringAfterMs: 0 });
  expect(await waiting()).toHaveLength(3);
  expect(await gateway.registry.metrics()).toContain('millrace_sweeper_rung_total 3\n');
});

it('passes on the run of a worker that is gone', async () => {
  const run = await submit('a');
  await gateway.begin(run, [], -1);
  await sweeper.round({ ringAfterMs: 0 });
  expect(await waiting()).toEqual([`${run}-2`]);
});

it('has unused threads deleted by a worker, once', async () => {
  const run = await submit('old');
  await gateway.work(run, { status: 'succeeded' });
  await submit('new');
  await expire('old');
  await sweeper.round({ ringAfterMs: 60_000 });
  await sweeper.round({ ringAfterMs: 60_000 });
  const [job = '', ...more] = await waiting();
  expect(more).toEqual([]);
  const deletion = await gateway.services.store.read.run('default', job.slice(0, 36));
  expect(deletion).toMatchObject({ thread: 'old', request: { kind: 'delete_thread' } });
  expect(await gateway.services.store.read.thread('default', 'old')).toBeUndefined();
  expect(await gateway.services.store.read.thread('default', 'new')).toBeDefined();
});

it('spares a thread that is in use again', async () => {
  await gateway.work(await submit('t'), { status: 'succeeded' });
  await expire('t');
  const { store } = gateway.services;
  const sweep = store.sweep.bind(store);
  let run = '';
  // Somebody writes to the thread just after the sweep has found it unused.
  store.sweep = async (partition, options) => {
    const found = await sweep(partition, options);
    if (found.expiredThreads.length > 0) run = await submit('t');
    return found;
  };
  await sweeper.round({ ringAfterMs: 60_000 });
  expect(run).not.toBe('');
  expect(await store.read.run('default', run)).toMatchObject({ status: 'queued' });
});

it('goes on after a fault, and complains once', async () => {
  const { store, logger } = gateway.services;
  const warnings: unknown[] = [];
  logger.warn = (...args: unknown[]) => void warnings.push(args);
  const metrics = registerSweeperMetrics(new Registry());
  const own = new Sweeper(gateway.services, metrics, { intervalMs: 1 });
  let rounds = 0;
  const done = new Promise<void>((resolve) => {
    const sweep = store.sweep.bind(store);
    store.sweep = async (partition, options) => {
      if (partition !== 0) return sweep(partition, options);
      rounds += 1;
      if (rounds <= 3) throw new Error('Connection is closed.');
      if (rounds === 6) resolve();
      return sweep(partition, options);
    };
  });
  own.start();
  await done;
  await own.stop();
  expect(warnings).toHaveLength(1);
  expect((await metrics.failures.get()).values[0]?.value).toBe(3);
});
