import type { Keys } from './keys.ts';
import { PARTITIONS } from './partition.ts';
import type { RedisConnection } from './redis.ts';
import { pairs } from './run-reader.ts';

/** Where something stands in a list; the greater come first. */
export interface Place {
  score: number;
  id: string;
}

export interface Page<T> {
  items: T[];
  /** What this page ended with, when there are more. */
  next: Place | undefined;
}

/** What a tenant has in all partitions, in one order: each partition has a ZSET of it. */
export class TenantList {
  readonly #redis: RedisConnection;
  readonly #roots: string[];
  readonly #keyOf: (root: string, tenant: string) => string;

  constructor(redis: RedisConnection, keys: Keys, keyOf: (root: string, tenant: string) => string) {
    this.#redis = redis;
    this.#roots = Array.from({ length: PARTITIONS }, (_, partition) => keys.root(partition));
    this.#keyOf = keyOf;
  }

  /**
   * @param page.after what the former page ended with
   * @param read gives what has this id; what is gone, undefined, takes no room of the page
   */
  async page<T>(
    tenant: string,
    page: { limit: number; after?: Place | undefined },
    read: (id: string) => Promise<T | undefined>,
  ): Promise<Page<T>> {
    const { limit, after } = page;
    const items: T[] = [];
    let last = after;
    for (;;) {
      const places = await this.#places(tenant, last, limit + 1);
      const found = await Promise.all(places.map((place) => read(place.id)));
      for (const [i, place] of places.entries()) {
        if (items.length === limit) return { items, next: last };
        const item = found[i];
        if (item !== undefined) items.push(item);
        last = place;
      }
      if (places.length <= limit) return { items, next: undefined };
    }
  }

  /** The next so many places of all partitions. */
  async #places(tenant: string, after: Place | undefined, count: number): Promise<Place[]> {
    const max = after?.score ?? '+inf';
    const found = await Promise.all(
      this.#roots.map(async (root) => {
        const key = this.#keyOf(root, tenant);
        // Those with the same score as the last one may have been given already.
        const same = after ? await this.#redis.zcount(key, max, max) : 0;
        return this.#redis.zrevrangebyscore(key, max, '-inf', 'WITHSCORES', 'LIMIT', 0, count + same);
      }),
    );
    return found
      .flatMap((flat) => pairs(flat).map(([id, score]) => ({ id, score: Number(score) })))
      .filter((place) => !after || compare(after, place) < 0)
      .sort(compare)
      .slice(0, count);
  }
}

function compare(a: Place, b: Place): number {
  if (a.score !== b.score) return b.score - a.score;
  return a.id < b.id ? 1 : a.id > b.id ? -1 : 0;
}
