import type { Keys } from '@millrace/shared/keys';
import type { Logger } from '@millrace/shared/logger';
import type { RedisConnection } from '@millrace/shared/redis';

/** What is kept: answers of models, or what nodes of graphs returned. */
export type CacheKind = 'model' | 'node';

/** How a look-up came out. An `error` is a miss to who asked. */
export type CacheResult = 'hit' | 'miss' | 'error';

/** Larger values are not kept: a cache is for what is asked for often. */
const MOST_BYTES = 1024 * 1024;

/** After a fault nothing is asked for so long: a Redis that hangs would cost each step its time limit. */
const REST_MS = 1_000;

export interface CacheStoreOptions {
  /** Of role `optional`. */
  redis: RedisConnection;
  keys: Keys;
  ttlMs: number;
  /** Told of each look-up. */
  onRequest: (kind: CacheKind, result: CacheResult) => void;
  logger: Logger;
}

/**
 * What this deployment's workers need not work out again, in Redis and always with an expiry. Never rejects: without its
 * Redis, or with one that is slow, everything is a miss, and nothing is kept.
 */
export class CacheStore {
  readonly #options: CacheStoreOptions;
  #restUntil = 0;

  constructor(options: CacheStoreOptions) {
    this.#options = options;
  }

  async read(kind: CacheKind, tenant: string, id: string): Promise<Buffer | undefined> {
    const { redis, keys, onRequest } = this.#options;
    const found = await this.#guarded(() => redis.getBuffer(keys.cache(kind, tenant, id)));
    onRequest(kind, found === undefined ? 'error' : found === null ? 'miss' : 'hit');
    return found ?? undefined;
  }

  /** Resolves also when it could not be kept; nobody needs to wait for that. */
  async write(kind: CacheKind, tenant: string, id: string, value: Buffer, ttlMs?: number): Promise<void> {
    if (value.length > MOST_BYTES) return;
    const { redis, keys, ttlMs: usual } = this.#options;
    const lifetime = Math.max(1, Math.round(ttlMs ?? usual));
    await this.#guarded(() => redis.set(keys.cache(kind, tenant, id), value, 'PX', lifetime));
  }

  /** @returns undefined when Redis did not answer in time, or was not asked because of that */
  async #guarded<T>(ask: () => Promise<T>): Promise<T | undefined> {
    if (performance.now() < this.#restUntil) return undefined;
    try {
      return await ask();
    } catch (error) {
      this.#restUntil = performance.now() + REST_MS;
      this.#options.logger.debug({ err: error }, 'the cache did not answer');
      return undefined;
    }
  }
}
