import { Refusal } from './contract/error.ts';
import { groupBy } from './group-by.ts';
import type { Keys } from './keys.ts';
import { partitionOfRun } from './partition.ts';
import type { RedisConnection } from './redis.ts';
import type { ChainView, RunReader } from './run-reader.ts';
import type { Scripts } from './scripts/index.ts';
import { type Page, type Place, TenantList } from './tenant-list.ts';

/** A tenant's chains. */
export class Chains {
  readonly #keys: Keys;
  readonly #scripts: Scripts;
  readonly #read: RunReader;
  readonly #list: TenantList;

  constructor(redis: RedisConnection, keys: Keys, scripts: Scripts, read: RunReader) {
    this.#keys = keys;
    this.#scripts = scripts;
    this.#read = read;
    this.#list = new TenantList(redis, keys, (root, tenant) => keys.tenantChains(root, tenant));
  }

  /**
   * Those that are kept, by the microsecond of Redis's clock at which they began, the latest first. Without what a later release
   * has stored in its own way.
   */
  list(tenant: string, page: { limit: number; after?: Place | undefined }): Promise<Page<ChainView>> {
    return this.#list.page(
      tenant,
      page,
      (id) => this.#read.chainView(tenant, id).catch(unlessLater),
      (ids) => this.#forget(tenant, ids),
    );
  }

  /** From now on the chain is kept for its time, however many runs its thread has after it. */
  async handOver(chainId: string): Promise<void> {
    const partition = partitionOfRun(chainId);
    if (partition !== undefined) await this.#scripts.hand_over(this.#keys.root(partition), chainId);
  }

  /** Takes off the list what has expired. */
  async #forget(tenant: string, ids: string[]): Promise<void> {
    const byPartition = groupBy(ids, (id) => partitionOfRun(id) ?? 0);
    await Promise.all(
      [...byPartition].map(([partition, some]) =>
        this.#scripts.forget_expired(this.#keys.root(partition), tenant, ...some),
      ),
    );
  }
}

function unlessLater(error: unknown): undefined {
  if (!(error instanceof Refusal && error.code === 'unavailable')) throw error;
}
