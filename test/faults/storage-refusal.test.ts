import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { StoreClient } from '../client.ts';
import { type Ledger, startLedger } from '../ledger.ts';
import { type AppProcess, startProcess } from '../processes.ts';
import { sweepUntil } from '../sweeping.ts';
import { RedisProcess } from './redis-process.ts';

/** A checkpoint store on a Redis of its own, which refuses for a moment. */

let redis: TestRedis;
let client: StoreClient;
let ledger: Ledger;
let server: RedisProcess;
let checkpoints: Redis;
let worker: AppProcess | undefined;
let stopSweeping: () => Promise<void>;

beforeEach(async () => {
  server = await RedisProcess.start();
  checkpoints = new Redis(server.url, { maxRetriesPerRequest: null, retryStrategy: () => 20 });
  checkpoints.on('error', () => undefined);
  await checkpoints.ping();
  redis = await testRedis();
  client = new StoreClient(redis);
  ledger = await startLedger();
  stopSweeping = sweepUntil(client);
});

afterEach(async () => {
  await stopSweeping();
  await worker?.end('SIGKILL');
  worker = undefined;
  await ledger.close();
  await client.close();
  await redis.close();
  checkpoints.disconnect();
  await server.remove();
});

/** Resolves when the store has refused something, so many times. */
async function refused(kind: string, times = 1): Promise<void> {
  const counted = new RegExp(`errorstat_${kind}:count=(\\d+)`);
  while (Number(counted.exec(await checkpoints.info('errorstats'))?.[1] ?? 0) < times);
}

async function startWorker(): Promise<void> {
  worker = await startProcess('worker', {
    ...redis.env,
    CHECKPOINT_REDIS_URL: server.url,
    LANGGRAPH_CONFIG: fileURLToPath(new URL('../graphs/langgraph.json', import.meta.url)),
    LEASE_SECONDS: '1',
    CRASH_BUDGET: '0',
  });
}

const submit = () => client.submit('chain', { config: { configurable: { ledger: ledger.url } } });

it.each([
  ['OOM', ['maxmemory', '1'], ['maxmemory', '0']],
  ['NOREPLICAS', ['min-replicas-to-write', '1'], ['min-replicas-to-write', '0']],
] as const)('a store that refuses a write (%s) is not the fault of the graph', async (kind, bad, good) => {
  await startWorker();
  ledger.hold('b');
  const { runId } = await submit();
  await ledger.called('b');
  await checkpoints.config('SET', ...bad);
  ledger.release('b');
  await refused(kind);
  await checkpoints.config('SET', ...good);
  expect(await client.end(runId)).toMatchObject({ status: 'succeeded' });
});

it('a store that refuses the lease itself charges no crash to the run', async () => {
  await startWorker();
  await checkpoints.config('SET', 'min-replicas-to-write', '1');
  const { runId } = await submit();
  await refused('NOREPLICAS', 3);
  await checkpoints.config('SET', 'min-replicas-to-write', '0');
  expect(await client.end(runId)).toMatchObject({ status: 'succeeded' });
});

it('a store that is away when a run begins, for longer than a lease, charges no crash to the run', async () => {
  await startWorker();
  await server.kill();
  const { runId } = await submit();
  while ((await client.store.read.run('t', runId))?.status !== 'running');
  // Longer than a lease, and the outage itself.
  await sleep(3_000);
  await server.up();
  expect(await client.end(runId)).toMatchObject({ status: 'succeeded' });
});
