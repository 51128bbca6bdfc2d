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
  /** Where the next page begins, when there may be more. */
  next: Place | undefined;
}

/** How often a page looks for more when what it found is gone. */
const MOST_ROUNDS = 10;

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
   * A page of what is there. It may have less than `limit`, or nothing, and others after it: what is gone takes no room, but is
   * not passed over without end.
   *
   * @param page.after `next` of the page before
   * @param read gives what has this id; undefined when it is gone
   * @param onGone hears of what is
   */
  async page<T>(
    tenant: string,
    page: { limit: number; after?: Place | undefined },
    read: (id: string) => Promise<T | undefined>,
    onGone: (ids: string[]) => void | Promise<void> = () => {},
  ): Promise<Page<T>> {
    const items: T[] = [];
    let last = page.after;
    for (let round = 0; round < MOST_ROUNDS && items.length < page.limit; round++) {
      const room = page.limit - items.length;
      const places = await this.#places(tenant, last, room + 1);
      const ids = places.slice(0, room).map((place) => place.id);
      const found = await Promise.all(ids.map(read));
      items.push(...found.filter((one) => one !== undefined));
      const gone = ids.filter((_, i) => found[i] === undefined);
      if (gone.length > 0) await onGone(gone);
      if (places.length <= room) return { items, next: undefined };
      last = places[room - 1];
    }
    return { items, next: last };
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
