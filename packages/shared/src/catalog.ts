import { type CatalogEntry, catalogEntry } from './contract/catalog.ts';
import type { Keys } from './keys.ts';
import type { RedisConnection } from './redis.ts';

/** The graphs that workers have loaded, as gateways know them. Outlives the workers. */
export class Catalog {
  readonly #redis: RedisConnection;
  readonly #key: string;

  constructor(redis: RedisConnection, keys: Keys) {
    this.#redis = redis;
    this.#key = keys.catalog();
  }

  async publish(entries: CatalogEntry[]): Promise<void> {
    if (entries.length === 0) return;
    await this.#redis.hset(
      this.#key,
      Object.fromEntries(entries.map((one) => [one.graph, JSON.stringify(one)])),
    );
  }

  /** All graphs, by name. Empty when no worker has ever been here. */
  async list(): Promise<CatalogEntry[]> {
    const entries = Object.values(await this.#redis.hgetall(this.#key));
    return entries
      .map((text) => catalogEntry.parse(JSON.parse(text)))
      .sort((a, b) => (a.graph < b.graph ? -1 : a.graph > b.graph ? 1 : 0));
  }
}
