import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger } from '@millrace/shared/logger';
import {
  checkServer,
  connect,
  mastersOf,
  memoryUse,
  type RedisConnection,
  whenReady,
} from '@millrace/shared/redis';
import { isRedisFault } from '@millrace/shared/redis-fault';
import type { Cluster, Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { RedisCluster } from './redis-cluster.ts';
import type { RedisProcess } from './redis-process.ts';

/** What a connection to a cluster is, apart from what runs on it. */

const logger = createLogger('test', 'silent');

const fit = { variable: 'REDIS_URL', allowEviction: false };

let cluster: RedisCluster;

beforeAll(async () => {
  cluster = await RedisCluster.start();
});

afterAll(() => cluster.remove());

it('is refused when any of the masters may evict keys, which is named', async () => {
  const redis = connect({ url: cluster.url }, 'worker', logger);
  try {
    await whenReady(redis);
    await checkServer(redis, fit);
    const bad = mastersOf(redis)[2];
    await bad?.config('SET', 'maxmemory-policy', 'allkeys-lru');
    await expect(checkServer(redis, fit)).rejects.toThrow(
      `127.0.0.1:${bad?.options.port}: its maxmemory-policy is allkeys-lru`,
    );
    await bad?.config('SET', 'maxmemory-policy', 'noeviction');
    await checkServer(redis, fit);
  } finally {
    redis.disconnect();
  }
});

it('to one node alone is refused, with the right form of the URL', async () => {
  const redis = connect({ url: cluster.nodes[0]?.url ?? '' }, 'worker', logger);
  try {
    await whenReady(redis);
    await expect(checkServer(redis, fit)).rejects.toThrow('write its URL as redis+cluster://');
  } finally {
    redis.disconnect();
  }
});

it('is as full as its fullest master', async () => {
  const redis = connect({ url: cluster.url }, 'gateway', logger);
  try {
    await whenReady(redis);
    expect(await memoryUse(redis)).toBe(0);
    const [roomy, full] = mastersOf(redis);
    await roomy?.config('SET', 'maxmemory', '1gb');
    await full?.config('SET', 'maxmemory', '1');
    expect(await memoryUse(redis)).toBeGreaterThan(1);
    for (const one of [roomy, full]) await one?.config('SET', 'maxmemory', '0');
  } finally {
    redis.disconnect();
  }
});

it('fails fast for a gateway while a master is away, waits for a worker, and both go on when it is back', async () => {
  const gateway = connect({ url: cluster.url }, 'gateway', logger);
  const worker = connect({ url: cluster.url }, 'worker', logger);
  const [node] = cluster.nodes;
  try {
    await Promise.all([gateway, worker].map(whenReady));
    const key = await keyOf(worker, node);
    await worker.set(key, '');
    await node?.kill();
    const refusal = await gateway.get(key).catch((error) => error);
    expect(refusal).toBeInstanceOf(Error);
    expect(isRedisFault(refusal)).toBe(true);
    const waiting = worker.append(key, 'x');
    await node?.up();
    expect(await waiting).toBe(1);
    while ((await gateway.get(key).catch(() => undefined)) !== 'x') await sleep(50);
  } finally {
    gateway.disconnect();
    worker.disconnect();
  }
});

it('that finds the cluster down connects when it is up again, and says so to who asked', async () => {
  const origin = connect({ url: cluster.url }, 'worker', logger) as Cluster;
  const redis = origin.duplicate();
  const [gone, other] = cluster.nodes;
  const asked = other?.connect();
  try {
    await Promise.all([origin, redis].map(whenReady));
    await gone?.kill();
    while (!String(await asked?.cluster('INFO')).includes('cluster_state:fail'));
    const end = once(redis, 'end');
    redis.disconnect();
    await end;
    const looking = once(redis, 'connect');
    const connected = redis.connect();
    await looking;
    await gone?.up();
    await connected;
    expect(redis.status).toBe('ready');
  } finally {
    for (const one of [origin, redis, asked]) one?.disconnect();
  }
});

it('can be closed and opened again while no node is in reach', async () => {
  const origin = connect({ url: cluster.url }, 'worker', logger) as Cluster;
  const redis = origin.duplicate();
  try {
    await Promise.all([origin, redis].map(whenReady));
    for (const node of cluster.nodes) await redis.get(await keyOf(redis, node));
    for (const node of cluster.nodes) await node.kill();
    while (mastersOf(redis).some(({ status }) => status !== 'reconnecting')) await sleep(10);
    const end = once(redis, 'end');
    redis.disconnect();
    await end;
    for (const node of cluster.nodes) await node.up();
    await redis.connect();
    expect(redis.status).toBe('ready');
  } finally {
    for (const one of [origin, redis]) one.disconnect();
  }
});

it('that was closed takes no more commands', async () => {
  const redis = connect({ url: cluster.url }, 'worker', logger);
  await whenReady(redis);
  // Now there is a connection to every node.
  for (const node of cluster.nodes) await redis.get(await keyOf(redis, node));
  const end = once(redis, 'end');
  redis.disconnect();
  await end;
  for (let i = 0; i < 100; i++) {
    await new Promise(setImmediate);
    await expect(redis.get('key')).rejects.toThrow();
  }
});

it('of a subscriber goes to another node when its own is gone, and says so', async () => {
  // The others it has to learn of by itself.
  const [seed, other] = cluster.nodes;
  const asked = seed?.connect();
  await asked?.config('RESETSTAT');
  const subscriber = connect({ url: `redis+cluster://127.0.0.1:${seed?.port}` }, 'subscriber', logger);
  const publisher = other?.connect();
  const heard: string[] = [];
  subscriber.on('message', (_, message: string) => heard.push(message));
  try {
    await subscriber.subscribe('news');
    while (!heard.includes('before')) await publisher?.publish('news', 'before');
    while (!(await asked?.info('commandstats'))?.includes('cmdstat_cluster'));
    const again = new Promise((resolve) => subscriber.once('ready', resolve));
    await seed?.kill();
    await again;
    while (!heard.includes('after')) await publisher?.publish('news', 'after');
  } finally {
    for (const one of [subscriber, publisher, asked]) one?.disconnect();
    await seed?.up();
  }
});

it('finds the replica that took over from a master that hangs', async () => {
  const worker = connect({ url: cluster.url }, 'worker', logger);
  const gateway = connect({ url: cluster.url }, 'gateway', logger);
  const [node] = cluster.nodes;
  try {
    if (node) await cluster.addReplica(node);
    await Promise.all([gateway, worker].map(whenReady));
    const key = await keyOf(worker, node);
    await worker.set(key, '');
    await masterAt(worker, node)?.wait(1, 0);
    node?.pause();
    expect(await worker.append(key, 'x')).toBeGreaterThan(0);
    while ((await gateway.get(key).catch(() => undefined)) !== 'x') await sleep(50);
  } finally {
    gateway.disconnect();
    worker.disconnect();
    node?.resume();
  }
});

function masterAt(redis: RedisConnection, node: RedisProcess | undefined): Redis | undefined {
  return mastersOf(redis).find((one) => one.options.port === node?.port);
}

/** Some key that this master keeps. */
async function keyOf(redis: RedisConnection, node: RedisProcess | undefined): Promise<string> {
  const master = masterAt(redis, node);
  for (let i = 0; ; i++) {
    const here = await master?.exists(`key-${i}`).catch(() => undefined);
    if (here !== undefined) return `key-${i}`;
  }
}
