import type { Catalog } from '@millrace/shared/catalog';
import { type LoadedGraph, toCatalogEntry } from './loader/loaded-graph.ts';

/** Gateways tell from the time of an entry what is still served. */
const LONGEST_INTERVAL_MS = 30_000;
/** Intervals that one publication counts for. */
const COUNTS_FOR = 3;

/** Tells gateways and other workers what graphs this one has, for as long as it takes runs. */
export class Presence {
  readonly #catalog: Catalog;
  readonly #graphs: LoadedGraph[];
  readonly #intervalMs: number;
  #timer: NodeJS.Timeout | undefined;
  /** Of the publications that came without a break: the first and the last, by the process's clock. */
  #first = 0;
  #last = Number.NEGATIVE_INFINITY;

  constructor(catalog: Catalog, graphs: LoadedGraph[], leaseMs: number) {
    this.#catalog = catalog;
    this.#graphs = graphs;
    this.#intervalMs = Math.min(leaseMs, LONGEST_INTERVAL_MS);
  }

  /** Resolves when it is published for the first time. */
  async start(): Promise<void> {
    await this.#publish();
    this.#timer = setInterval(() => this.renew(), this.#intervalMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** At once, and without a word when that fails: the next one is on its way. */
  renew(): void {
    if (this.#timer) this.#publish().catch(() => undefined);
  }

  /** Whether there may be a worker with this revision of a graph. */
  async mayBeServed(graph: string, revision: string): Promise<boolean> {
    // Who has just come, or comes back from an outage of Redis, has not given the others the time to say so.
    const known = this.#last - this.#first >= COUNTS_FOR * this.#intervalMs && !this.#isBroken();
    return !known || this.#catalog.isServed(graph, revision);
  }

  async #publish(): Promise<void> {
    const entries = this.#graphs.map((graph) => toCatalogEntry(graph));
    await this.#catalog.publish(entries, COUNTS_FOR * this.#intervalMs);
    const now = performance.now();
    if (this.#isBroken()) this.#first = now;
    this.#last = now;
  }

  #isBroken(): boolean {
    return performance.now() - this.#last > 2 * this.#intervalMs;
  }
}
