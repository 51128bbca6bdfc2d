import { setTimeout as sleep } from 'node:timers/promises';
import type { Keys } from '@millrace/shared/keys';
import type { Logger } from '@millrace/shared/logger';
import { checkServer, connect, type RedisTarget, whenReady } from '@millrace/shared/redis';
import { CacheStore, type CacheStoreOptions } from './cache-store.ts';

/** How long a start waits for a Redis that is only a cache. */
const START_MS = 2_000;

export interface OpenCache {
  store: CacheStore;
  close: () => void;
}

/**
 * Opens the cache. Its Redis may evict, and may be out of reach: then everything is a miss until it comes.
 *
 * @throws Error when it answers and cannot be used
 */
export async function openCache(
  target: RedisTarget,
  options: { ttlMs: number; keys: Keys; logger: Logger; onRequest: CacheStoreOptions['onRequest'] },
): Promise<OpenCache> {
  const redis = connect(target, 'optional', options.logger);
  const close = () => redis.disconnect();
  const start = new AbortController();
  const checked = whenReady(redis).then(() =>
    checkServer(redis, { variable: 'CACHE_REDIS_URL', allowEviction: true }),
  );
  try {
    await Promise.race([checked, sleep(START_MS, undefined, { signal: start.signal })]);
  } catch (error) {
    close();
    throw error;
  } finally {
    start.abort();
    checked.catch(() => undefined);
  }
  return { store: new CacheStore({ ...options, redis }), close };
}
