import type { RunError } from './contract/error.ts';
import type { RunRecord } from './contract/run.ts';
import type { Keys } from './keys.ts';
import { PARTITIONS } from './partition.ts';
import type { RedisConnection } from './redis.ts';
import type { RunReader } from './run-reader.ts';
import type { Scripts } from './scripts/index.ts';
import { type Page, type Place, TenantList } from './tenant-list.ts';

/** Why runs fail through no fault of their own. The same as in `scripts/shared/dead_letters.lua`. */
const DEAD: readonly RunError['code'][] = ['crash_budget', 'graph_changed'];

/** Whether a run failed for a reason that is not its own, so that it may be run again. */
export function isDead({ status, error }: Pick<RunRecord, 'status' | 'error'>): boolean {
  return status === 'failed' && error !== undefined && DEAD.includes(error.code);
}

/** Runs that failed for a reason that is not their own, until they are run again or their records expire. */
export class DeadLetters {
  readonly #keys: Keys;
  readonly #scripts: Scripts;
  readonly #read: RunReader;
  readonly #list: TenantList;

  constructor(redis: RedisConnection, keys: Keys, scripts: Scripts, read: RunReader) {
    this.#keys = keys;
    this.#scripts = scripts;
    this.#read = read;
    this.#list = new TenantList(redis, keys, (root, tenant) => keys.tenantDead(root, tenant));
  }

  /** A tenant's, by the millisecond at which they ended, newest first. */
  list(tenant: string, page: { limit: number; after?: Place | undefined }): Promise<Page<RunRecord>> {
    return this.#list.page(tenant, page, (id) => this.#read.run(tenant, id));
  }

  /** How many there are, of all tenants. */
  async count(): Promise<number> {
    const roots = Array.from({ length: PARTITIONS }, (_, partition) => this.#keys.root(partition));
    const counts = await Promise.all(roots.map((root) => this.#scripts.dead_letters(root)));
    return (counts as number[]).reduce((sum, one) => sum + one, 0);
  }
}
