import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createLogger } from '@millrace/shared/logger';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { workerConfig } from '../../apps/worker/src/config.ts';
import { type RunningWorker, startWorker } from '../../apps/worker/src/worker.ts';
import { StoreClient } from '../client.ts';
import { type Ledger, startLedger } from '../ledger.ts';
import { sweepUntil } from '../sweeping.ts';

/** Steps that take far longer than every lease and lock. */

let redis: TestRedis;
let client: StoreClient;
let ledger: Ledger;
let workers: RunningWorker[];
let stopSweeping: () => Promise<void>;

const LEASE_S = 1;

beforeEach(async () => {
  redis = await testRedis();
  client = new StoreClient(redis);
  ledger = await startLedger();
  stopSweeping = sweepUntil(client);
  const config = workerConfig({
    ...redis.env,
    LANGGRAPH_CONFIG: fileURLToPath(new URL('../graphs/langgraph.json', import.meta.url)),
    WORKER_PORT: '0',
    LEASE_SECONDS: String(LEASE_S),
    CRASH_BUDGET: '0',
  });
  // The second one is there to take over what the first one seems to have lost.
  workers = await Promise.all([0, 1].map(() => startWorker(config, createLogger('worker', 'silent'))));
});

afterEach(async () => {
  await ledger.close();
  await Promise.all(workers.map((worker) => worker.stop()));
  await stopSweeping();
  await client.close();
  await redis.close();
});

it('run once and undisturbed, alone and three side by side', async () => {
  for (const step of ['b', 'x', 'y', 'z']) ledger.hold(step);
  const order = { input: { text: 'l' }, config: { configurable: { ledger: ledger.url } } };
  const runs = await Promise.all(['chain', 'siblings'].map((graph) => client.submit(graph, order)));
  await Promise.all(['b', 'x', 'y', 'z'].map((step) => ledger.called(step)));
  await sleep(10.5 * LEASE_S * 1000);
  for (const step of ['b', 'x', 'y', 'z']) ledger.release(step);
  const ends = await Promise.all(runs.map(({ runId }) => client.end(runId)));
  expect(ends.map(({ status, attempt }) => [status, attempt])).toEqual([
    ['succeeded', 1],
    ['succeeded', 1],
  ]);
  const steps = ['a', 'b', 'c', 'x', 'y', 'z', 'join'];
  expect(steps.map((step) => ledger.count(step))).toEqual(steps.map(() => 1));
});
