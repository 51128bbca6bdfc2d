import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger } from '@millrace/shared/logger';
import { memoryUse } from '@millrace/shared/redis';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readConfig } from '../../apps/gateway/src/config.ts';
import { type Gateway, startGateway } from '../../apps/gateway/src/gateway.ts';
import { workerConfig } from '../../apps/worker/src/config.ts';
import { type RunningWorker, startWorker } from '../../apps/worker/src/worker.ts';
import { RedisProcess } from './redis-process.ts';

const logger = createLogger('test', 'silent');

let server: RedisProcess;
let redis: Redis;
let gateway: Gateway;
let worker: RunningWorker | undefined;

const work = () => startWorker(workerConfig({ REDIS_URL: server.url, WORKER_PORT: '0' }), logger);

beforeEach(async () => {
  server = await RedisProcess.start(['maxmemory 20mb']);
  redis = new Redis(server.url);
  gateway = await startGateway(readConfig({ REDIS_URL: server.url, PORT: '0' }), logger);
});
afterEach(async () => {
  await gateway.stop();
  await worker?.stop();
  redis.disconnect();
  await server.remove();
});

const post = () =>
  fetch(`${gateway.url}/message`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Prefer: 'wait=0' },
    body: JSON.stringify({ query: 'Hi' }),
  });

/** What a later look says: a reading is good for a second. */
async function until(status: number): Promise<Response> {
  for (;;) {
    const response = await post();
    if (response.status === status) return response;
    await sleep(200);
  }
}

it('submits are refused before the memory of Redis is full; what was accepted ends', async () => {
  // Leaves the graphs known.
  worker = await work();
  await worker.stop();
  worker = undefined;
  const accepted = await Promise.all(Array.from({ length: 5 }, post));
  expect(accepted.map((response) => response.status)).toEqual([202, 202, 202, 202, 202]);

  for (let i = 0; (await memoryUse(redis)) < 0.87; i += 1) {
    await redis.hset('filler', i, Buffer.alloc(50_000));
  }
  const refused = await until(503);
  expect(await refused.json()).toMatchObject({ code: 'overloaded' });
  const seconds = Number(refused.headers.get('Retry-After'));
  expect(seconds).toBeGreaterThanOrEqual(1);
  expect(seconds).toBeLessThanOrEqual(60);

  worker = await work();
  for (const response of accepted) {
    const ended = await fetch(`${gateway.url}${response.headers.get('Location')}?wait=30`);
    expect(await ended.json()).toMatchObject({ status: 'succeeded' });
  }
  expect((await post()).status).toBe(503);
  expect(await (await fetch(`${gateway.url}/metrics`)).text()).toMatch(
    /millrace_shed_total\{reason="memory"\} [1-9]/,
  );

  await redis.del('filler');
  await until(202);
});
