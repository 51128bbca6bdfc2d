import { setTimeout as sleep } from 'node:timers/promises';
import { partitionOfThread } from '@millrace/shared/partition';
import { parseInfo } from '@millrace/shared/redis';
import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { check } from './checker.ts';
import type { Fleet } from './fleet.ts';
import type { RedisProcess } from './redis-process.ts';
import { scenarios, steps } from './scenario.ts';

/** Commands in the append-only file, and how long Redis takes for each when it reads them. */
const COMMANDS = 150_000;
const DELAY_US = 200;
/** Until then every process has come back to find that it still loads, and has been told how long that may take. */
const LOADED_FOR_SECONDS = 4;

const start = scenarios();

it('Redis takes long to load: who held a lease is back as soon as anybody else', async () => {
  const { fleet, client } = await start({ workers: 2, gateways: 2 });
  await fill(fleet.redis);
  const unaware = [fleet.workers[1], fleet.gateways[1]];
  unaware[0]?.signal('SIGSTOP');
  fleet.ledger.hold('b');
  await client.submit('chain', 'thread', 'held');
  await fleet.ledger.called('b');
  unaware[1]?.signal('SIGSTOP');
  await fleet.redis.kill();
  const up = fleet.redis.up([`key-load-delay ${DELAY_US}`]);
  await loadQuickly(fleet.redis);
  await up;
  // These have not been told to wait, and find a lease that looks expired.
  for (const app of unaware) app?.signal('SIGCONT');
  await leaseSettled(fleet, 'thread');
  fleet.ledger.release('b');
  await client.settled();
  expect(await check(fleet, client.acknowledged, { steps })).toEqual([]);
});

/** Waits until the lease is renewed, or another's. */
async function leaseSettled({ redis, keys }: Fleet, thread: string): Promise<void> {
  const connection = redis.connect();
  const lease = `${keys.root(partitionOfThread(thread))}:lease:default/${thread}`;
  const before = Number(await connection.hget(lease, 'deadline'));
  for (;;) {
    const [deadline, spared] = await connection.hmget(lease, 'deadline', 'spared');
    if (Number(deadline) > before && spared === '') break;
    await sleep(100);
  }
  connection.disconnect();
}

async function fill(redis: RedisProcess): Promise<void> {
  const connection = redis.connect();
  const pipeline = connection.pipeline();
  for (let i = 0; i < COMMANDS; i++) pipeline.incr('filler');
  await pipeline.exec();
  await connection.del('filler');
  connection.disconnect();
}

/** Lets Redis load slowly for a while, and then at once. */
async function loadQuickly(redis: RedisProcess): Promise<void> {
  const connection = new Redis(redis.url, {
    enableReadyCheck: false,
    maxRetriesPerRequest: null,
    retryStrategy: () => 50,
  });
  connection.on('error', () => undefined);
  for (;;) {
    const info = parseInfo(await connection.info('persistence'));
    const since = Number(info.get('loading_start_time') ?? 0);
    if (since > 0 && Date.now() / 1000 - since >= LOADED_FOR_SECONDS) break;
    await sleep(100);
  }
  await connection.config('SET', 'key-load-delay', '0');
  connection.disconnect();
}
