import { BaseCache, type CacheFullKey } from '@langchain/langgraph-checkpoint';
import type { RunCache } from './run-cache.ts';

/** What nodes with a `cachePolicy` returned, as LangGraph looks it up: within one run's part of the cache. */
export class NodeCache extends BaseCache {
  readonly #cache: RunCache;
  readonly #place: string;

  /** @param place of the graph whose nodes these are, within the run's */
  constructor(cache: RunCache, place: string) {
    super();
    this.#cache = cache;
    this.#place = place;
  }

  override async get(keys: CacheFullKey[]) {
    const found = await Promise.all(
      keys.map(async (key) => {
        const stored = await this.#cache.read('node', this.#name(key));
        if (!stored) return [];
        const typeEnd = stored.indexOf('\n');
        const type = stored.subarray(0, typeEnd).toString();
        try {
          return [{ key, value: await this.serde.loadsTyped(type, stored.subarray(typeEnd + 1)) }];
        } catch {
          // Not written by us; the node is executed.
          return [];
        }
      }),
    );
    return found.flat();
  }

  /** `ttl` is in seconds; without one, that of the cache as a whole. */
  override async set(pairs: { key: CacheFullKey; value: unknown; ttl?: number }[]): Promise<void> {
    await Promise.all(
      pairs.map(async ({ key, value, ttl }) => {
        const [type, bytes] = await this.serde.dumpsTyped(value);
        const stored = Buffer.concat([Buffer.from(`${type}\n`), bytes]);
        await this.#cache.write('node', this.#name(key), stored, ttl === undefined ? undefined : ttl * 1000);
      }),
    );
  }

  /** Nobody has this object but LangGraph, which never clears; entries go when their time is over. */
  override async clear(): Promise<void> {}

  #name(key: CacheFullKey): string {
    return JSON.stringify([this.#place, ...key]);
  }
}
