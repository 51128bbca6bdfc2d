import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { Keys } from './keys.ts';
import { createLogger } from './logger.ts';
import { connect, mastersOf, type RedisConnection } from './redis.ts';

/** What one test has of Redis: connections and a namespace of its own. For tests only. */
export interface TestRedis {
  redis: RedisConnection;
  /** Where checkpoints belong: the same, unless the tests are run with a second Redis. */
  checkpoints: RedisConnection;
  url: string;
  keys: Keys;
  /** What a gateway or a worker must be told to use all this. */
  env: Record<string, string>;
  /** Another connection, closed with the rest. */
  connect: () => RedisConnection;
  /** Another one, of role `subscriber`. */
  subscriber: () => Redis;
  /** Every key of the namespace. */
  scan: () => Promise<string[]>;
  /** Removes the namespace and closes every connection. */
  close: () => Promise<void>;
}

/**
 * @param options.oneServer for a test that stands between a client and its server: no cluster, no second Redis
 * @throws when `TEST_REDIS_URL` names no server to test against: tests never touch another
 */
export async function testRedis(options: { oneServer?: boolean } = {}): Promise<TestRedis> {
  const { TEST_REDIS_URL, TEST_CHECKPOINT_REDIS_URL, TEST_ONE_REDIS_URL } = process.env;
  if (!TEST_REDIS_URL)
    throw new Error('TEST_REDIS_URL is not set; run the tests with `pnpm test`, which brings a Redis');
  const url = (options.oneServer && TEST_ONE_REDIS_URL) || TEST_REDIS_URL;
  const checkpointsUrl = (!options.oneServer && TEST_CHECKPOINT_REDIS_URL) || url;
  const keys = new Keys(`test-${randomUUID()}`);
  const logger = createLogger('test', 'silent');
  const connections: RedisConnection[] = [];
  const kept = <T extends RedisConnection>(connection: T): T => {
    connections.push(connection);
    return connection;
  };
  const open = (at: string) => kept(connect({ url: at }, 'worker', logger));
  const redis = open(url);
  const checkpoints = checkpointsUrl === url ? redis : open(checkpointsUrl);
  await Promise.all([redis.ping(), checkpoints.ping()]);
  const pages = async function* () {
    for (const server of new Set([redis, checkpoints].flatMap(mastersOf))) {
      for await (const page of server.scanStream({ match: `*${keys.prefix}*`, count: 1000 })) {
        yield { server, found: page as string[] };
      }
    }
  };
  return {
    redis,
    checkpoints,
    url,
    keys,
    env: {
      REDIS_URL: url,
      REDIS_PREFIX: keys.prefix,
      ...(checkpointsUrl !== url && { CHECKPOINT_REDIS_URL: checkpointsUrl }),
    },
    connect: () => open(url),
    subscriber: () => kept(connect({ url }, 'subscriber', logger)),
    scan: async () => {
      const all = new Set<string>();
      for await (const { found } of pages()) for (const key of found) all.add(key);
      return [...all];
    },
    close: async () => {
      for await (const { server, found } of pages()) {
        // One by one: on a cluster, the keys of one command must be in one slot.
        await Promise.all(found.map((key) => server.unlink(key)));
      }
      for (const connection of connections) connection.disconnect();
    },
  };
}
