import type { CatalogEntry } from '@millrace/shared/contract/catalog';
import { partOfQueue } from '@millrace/shared/queue-parts';

/** Which queue a run travels in: its graph's, or for some tenants a part of that, which workers of their own serve. */
export class TenantQueues {
  readonly #parts: ReadonlyMap<string, string>;

  /** @param parts tenant → the name of its part */
  constructor(parts: ReadonlyMap<string, string> = new Map()) {
    this.#parts = parts;
  }

  of(tenant: string, { queue }: Pick<CatalogEntry, 'queue'>): string {
    const part = this.#parts.get(tenant);
    return part === undefined ? queue : partOfQueue(queue, part);
  }

  /** Every queue there is for these graphs. */
  all(graphs: Pick<CatalogEntry, 'queue'>[]): string[] {
    const parts = [...this.#parts.values()];
    return [
      ...new Set(graphs.flatMap(({ queue }) => [queue, ...parts.map((part) => partOfQueue(queue, part))])),
    ];
  }
}
