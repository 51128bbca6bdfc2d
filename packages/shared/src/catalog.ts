import { type CatalogEntry, catalogEntry, type GraphDescription } from './contract/catalog.ts';
import type { Keys } from './keys.ts';
import type { RedisConnection } from './redis.ts';
import { loadScripts, type Scripts } from './scripts/index.ts';

/** Of a stored entry. The first ones did not say. */
const CATALOG_VERSION = 1;

const SERVED_MS = 30_000;

/**
 * The graphs that workers have loaded, as gateways know them. Outlives the workers.
 *
 * While workers of several revisions of a graph are at work, it shows the revision that was published first last.
 */
export class Catalog {
  readonly #redis: RedisConnection;
  readonly #keys: Keys;
  readonly #scripts: Scripts;

  constructor(redis: RedisConnection, keys: Keys) {
    this.#redis = redis;
    this.#keys = keys;
    this.#scripts = loadScripts(redis, keys.prefix);
  }

  /** @param servedMs how long, from now on, the publisher can be taken to have these graphs */
  async publish(graphs: GraphDescription[], servedMs = SERVED_MS): Promise<void> {
    await this.#scripts.publish(
      this.#keys.catalog(),
      this.#keys.catalogSince(),
      this.#keys.catalogServed(),
      servedMs,
      ...graphs.flatMap((graph) => [
        graph.graph,
        graph.revision,
        JSON.stringify({ version: CATALOG_VERSION, ...graph }),
      ]),
    );
  }

  /** Whether some worker has published this revision of a graph, and that still counts. */
  async isServed(graph: string, revision: string): Promise<boolean> {
    const [until, [seconds]] = await Promise.all([
      this.#redis.zscore(this.#keys.catalogServed(), `${graph}@${revision}`),
      this.#redis.time(),
    ]);
    return until !== null && Number(until) >= Number(seconds) * 1000;
  }

  /** All graphs, by name, but for those that only a later version can read. Empty when no worker has ever been here. */
  async list(): Promise<CatalogEntry[]> {
    const entries = Object.values(await this.#redis.hgetall(this.#keys.catalog()));
    return entries
      .map((text) => JSON.parse(text) as { version?: number })
      .filter(({ version = 1 }) => version <= CATALOG_VERSION)
      .map((entry) => catalogEntry.parse(entry))
      .sort((a, b) => (a.graph < b.graph ? -1 : a.graph > b.graph ? 1 : 0));
  }
}
