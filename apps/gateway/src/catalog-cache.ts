import type { Catalog } from '@millrace/shared/catalog';
import type { CatalogEntry } from '@millrace/shared/contract/catalog';
import { Refusal } from '@millrace/shared/contract/error';

const FRESH_MS = 1_000;
/** Workers publish anew every half minute. */
const SERVED_MS = 120_000;

/** The catalog, read at most once a second: every request needs it, and it changes with releases. */
export class CatalogCache {
  readonly #catalog: Catalog;
  #entries: Promise<CatalogEntry[]> | undefined;
  #readAt = 0;

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  /** All graphs, by name. */
  list(): Promise<CatalogEntry[]> {
    const now = performance.now();
    if (!this.#entries || now - this.#readAt > FRESH_MS) {
      this.#readAt = now;
      const read = this.#catalog.list();
      this.#entries = read;
      read.then(
        // An empty catalog is about to change: the first worker is on its way.
        (entries) => entries.length === 0 && this.#forget(read),
        () => this.#forget(read),
      );
    }
    return this.#entries;
  }

  /**
   * The graph of an assistant id or a graph's name.
   *
   * @throws Refusal `no_catalog` when no worker has ever published one, `unknown_graph` when none is of that name
   */
  async resolve(assistant: string, field: string): Promise<CatalogEntry> {
    const entries = await this.list();
    if (entries.length === 0) {
      throw new Refusal('no_catalog', 'No worker has published a graph yet; start a worker and try again', {
        retryAfterSeconds: 2,
      });
    }
    const entry = entries.find((one) => one.graph === assistant || one.assistantId === assistant);
    if (!entry) {
      const known = entries.map((one) => one.graph).join(', ');
      throw new Refusal(
        'unknown_graph',
        `There is no graph or assistant "${assistant}"; there are: ${known}`,
        { field },
      );
    }
    return entry;
  }

  /** The default graph of faces that name none: `agent`, or the only one there is. */
  async defaultGraph(): Promise<string> {
    const entries = await this.list();
    // Graphs that no worker has any more stay known, but are nobody's default.
    const newest = Math.max(...entries.map((one) => one.publishedAt));
    const served = entries.filter((one) => one.publishedAt >= newest - SERVED_MS);
    const [first] = served;
    return served.length === 1 && first ? first.graph : 'agent';
  }

  #forget(read: Promise<CatalogEntry[]>): void {
    if (this.#entries === read) this.#entries = undefined;
  }
}
