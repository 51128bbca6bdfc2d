import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { StoreClient } from './client.ts';
import { type AppProcess, startProcess } from './processes.ts';

/** Workers that serve some of the queues: a part of the default one, for one of the tenants. */

let redis: TestRedis;
let client: StoreClient;
let gateway: AppProcess;
const workers: AppProcess[] = [];

beforeEach(async () => {
  redis = await testRedis();
  client = new StoreClient(redis);
  gateway = await startProcess('gateway', {
    ...redis.env,
    API_KEYS: 'acme:key-a,default:key-d',
    TENANT_QUEUES: 'acme:gold',
  });
});

afterEach(async () => {
  await Promise.all([gateway, ...workers.splice(0)].map((one) => one.end('SIGKILL')));
  await client.close();
  await redis.close();
});

async function startWorker(queues: string): Promise<AppProcess> {
  const worker = await startProcess('worker', { ...redis.env, MODEL: 'demo', WORKER_QUEUES: queues });
  workers.push(worker);
  return worker;
}

async function ask(key: string, wait = 0): Promise<{ run_id: string; status: string }> {
  const response = await fetch(`${gateway.url}/message`, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      Authorization: `Bearer ${key}`,
      Prefer: `wait=${wait}`,
    },
    body: JSON.stringify({ query: 'What is 6*7?' }),
  });
  return (await response.json()) as { run_id: string; status: string };
}

async function demand(queue: string): Promise<{ demand: number; average_run_seconds: number | null }> {
  const response = await fetch(`${gateway.url}/scale/${queue}`);
  expect(response.status).toBe(200);
  return (await response.json()) as { demand: number; average_run_seconds: number | null };
}

it('a tenant’s runs go to the workers of its part, and scale them alone', async () => {
  await startWorker('default.gold');
  const other = await ask('key-d');
  expect(await ask('key-a', 60)).toMatchObject({ status: 'succeeded' });
  expect((await demand('default')).demand).toBe(1);
  expect((await demand('default.gold')).demand).toBe(0);
  // What its workers tell of their pace is told of that queue.
  while ((await demand('default.gold')).average_run_seconds === null);
  const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
  expect(metrics).toContain('millrace_queue_demand{queue="default"} 1\n');
  expect(metrics).toContain('millrace_queue_demand{queue="default.gold"} 0\n');
  await startWorker('default');
  expect((await client.end(other.run_id)).status).toBe('succeeded');
});

it('one worker may serve several', async () => {
  await startWorker('default,default.gold');
  const runs = await Promise.all([ask('key-a', 60), ask('key-d', 60)]);
  expect(runs.map(({ status }) => status)).toEqual(['succeeded', 'succeeded']);
});

it('a queue that no graph uses stops the worker from starting', async () => {
  await expect(startWorker('defualt.gold')).rejects.toThrow(
    'no graph of this worker has the queue defualt.gold; name default, or a part of it as default.name',
  );
});
