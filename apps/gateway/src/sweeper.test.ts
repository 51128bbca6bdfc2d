import { FenceError, RedisSaver, raiseFence } from '@millrace/checkpoint-redis';
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

it('rings for the rest when one partition cannot be swept, and says that one could not', async () => {
  const { redis, keys } = gateway.test;
  const runs = await Promise.all(['a', 'b', 'c'].map(submit));
  const sick = keys.root(partitionOfThread('a'));
  await redis.set(`${sick}:due`, 'not a set');
  await expect(sweeper.round({ ringAfterMs: 0 })).rejects.toThrow('WRONGTYPE');
  expect((await waiting()).sort()).toEqual([`${runs[1]}-1`, `${runs[2]}-1`].sort());
});

it('rings for the rest while one partition hangs', async () => {
  const { store } = gateway.services;
  const sweep = store.sweep.bind(store);
  expect(partitionOfThread('a')).not.toBe(partitionOfThread('b'));
  let answer = () => {};
  const hangs = new Promise<void>((resolve) => {
    answer = resolve;
  });
  store.sweep = async (partition, options) => {
    if (partition === partitionOfThread('a')) await hangs;
    return sweep(partition, { ...options, ringAfterMs: 0 });
  };
  const own = new Sweeper(gateway.services, registerSweeperMetrics(new Registry()), { intervalMs: 1 });
  own.start();
  const runs = [await submit('a'), await submit('b')];
  while ((await waiting()).length === 0);
  expect(await waiting()).toEqual([`${runs[1]}-1`]);
  const more = await submit('b');
  await gateway.work(runs[1] ?? '', { status: 'succeeded' });
  while (!(await waiting()).includes(`${more}-1`));
  answer();
  await own.stop();
  expect(await waiting()).toContain(`${runs[0]}-1`);
}, 20_000);

it('passes on the run of a worker that is gone', async () => {
  const run = await submit('a');
  await gateway.begin(run, [], -1);
  await sweeper.round({ ringAfterMs: 0 });
  expect(await waiting()).toEqual([`${run}-2`]);
});

it('removes unused threads by itself, once, with their checkpoints', async () => {
  const { test, services } = gateway;
  const run = await submit('old');
  await gateway.work(run, { status: 'succeeded' });
  const ofThread = { prefix: test.keys.checkpoints(), namespace: 'default', threadId: 'old' };
  const lease = { token: 2 ** 52, nonce: 'n' };
  await raiseFence(test.checkpoints, ofThread, lease);
  const saver = new RedisSaver(test.checkpoints, { ...ofThread, lease });
  await saver.put(
    { configurable: { thread_id: 'old' } },
    { v: 4, id: 'c', ts: '', channel_values: {}, channel_versions: {}, versions_seen: {} },
    { source: 'loop', step: 0, parents: {} },
    {},
  );
  await submit('new');
  await expire('old');
  // As three gateways would.
  const metrics = registerSweeperMetrics(new Registry());
  const sweepers = [1, 2, 3].map(() => new Sweeper(gateway.services, metrics));
  await Promise.all(sweepers.map((one) => one.round({ ringAfterMs: 60_000 })));
  expect(await waiting()).toEqual([]);
  expect(await services.store.read.thread('default', 'old')).toBeUndefined();
  expect(await services.store.read.thread('default', 'new')).toBeDefined();
  // What is left of it goes by itself, and refuses its last writer until then.
  const left = (await test.scan()).filter((key) => key.includes('/old'));
  expect(left.map((key) => key.split(':').at(-2)).sort()).toEqual(['lease', '{default/old}']);
  for (const key of left) {
    const lives = [await test.redis.pttl(key), await test.checkpoints.pttl(key)];
    expect(Math.max(...lives)).toBeGreaterThan(0);
  }
  await expect(saver.deleteThread('old')).rejects.toThrow(FenceError);
  expect((await metrics.expired.get()).values[0]?.value).toBe(1);
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
