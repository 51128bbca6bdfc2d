import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { Keys } from './keys.ts';

/** What one test has of Redis: connections and a namespace of its own. For tests only. */
export interface TestRedis {
  redis: Redis;
  url: string;
  keys: Keys;
  /** Another connection, closed with the rest. */
  connect: () => Redis;
  /** Removes the namespace and closes every connection. */
  close: () => Promise<void>;
}

/** @throws when `TEST_REDIS_URL` names no server to test against: tests never touch another. */
export async function testRedis(): Promise<TestRedis> {
  const url = process.env.TEST_REDIS_URL;
  if (!url)
    throw new Error('TEST_REDIS_URL is not set; run the tests with `pnpm test`, which brings a Redis');
  const keys = new Keys(`test-${randomUUID()}`);
  const connections: Redis[] = [];
  const connect = () => {
    const redis = new Redis(url, { maxRetriesPerRequest: null });
    connections.push(redis);
    return redis;
  };
  const redis = connect();
  await redis.ping();
  return {
    redis,
    url,
    keys,
    connect,
    close: async () => {
      for await (const found of redis.scanStream({ match: `*${keys.prefix}*`, count: 1000 })) {
        if (found.length > 0) await redis.unlink(...(found as string[]));
      }
      for (const connection of connections) connection.disconnect();
    },
  };
}
