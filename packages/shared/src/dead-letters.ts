import type { Cluster, Redis } from 'ioredis';
import type { RunError } from './contract/error.ts';
import type { RunRecord } from './contract/run.ts';
import type { Keys } from './keys.ts';
import { PARTITIONS } from './partition.ts';
import { pairs, type RunReader } from './run-reader.ts';
import type { Scripts } from './scripts/index.ts';

/** Why runs fail through no fault of their own. The same as in `prelude.lua`. */
const DEAD: readonly RunError['code'][] = ['crash_budget', 'graph_changed'];

/** Whether a run failed for a reason that is not its own, so that it may be run again. */
export function isDead({ status, error }: Pick<RunRecord, 'status' | 'error'>): boolean {
  return status === 'failed' && error !== undefined && DEAD.includes(error.code);
}

/** A place in the list, newest first. */
export interface DeadLetterPlace {
  /** Milliseconds since the epoch at which the run ended. */
  endedAt: number;
  runId: string;
}

/** Runs that failed for a reason that is not their own, until they are run again or their records expire. */
export class DeadLetters {
  readonly #redis: Redis | Cluster;
  readonly #keys: Keys;
  readonly #scripts: Scripts;
  readonly #read: RunReader;

  constructor(redis: Redis | Cluster, keys: Keys, scripts: Scripts, read: RunReader) {
    this.#redis = redis;
    this.#keys = keys;
    this.#scripts = scripts;
    this.#read = read;
  }

  /**
   * A tenant's, newest first.
   *
   * @param page.after what the former page ended with
   * @returns `next` when there are more
   */
  async list(
    tenant: string,
    page: { limit: number; after?: DeadLetterPlace | undefined },
  ): Promise<{ runs: RunRecord[]; next: DeadLetterPlace | undefined }> {
    const { limit, after } = page;
    const runs: RunRecord[] = [];
    let last = after;
    for (;;) {
      const places = await this.#places(tenant, last, limit + 1);
      for (const place of places) {
        if (runs.length === limit) return { runs, next: last };
        const run = await this.#read.run(tenant, place.runId);
        if (run) runs.push(run);
        last = place;
      }
      if (places.length <= limit) return { runs, next: undefined };
    }
  }

  /** How many there are, of all tenants. */
  async count(): Promise<number> {
    const counts = await Promise.all(this.#roots().map((root) => this.#scripts.dead_letters(root)));
    return (counts as number[]).reduce((sum, one) => sum + one, 0);
  }

  /** The next so many places of all partitions. */
  async #places(
    tenant: string,
    after: DeadLetterPlace | undefined,
    count: number,
  ): Promise<DeadLetterPlace[]> {
    const max = after?.endedAt ?? '+inf';
    // Those that ended at the same time as the last one may have been given already.
    const same = await Promise.all(
      this.#roots().map(async (root) => {
        const key = this.#keys.tenantDead(root, tenant);
        const before = after ? await this.#redis.zcount(key, max, max) : 0;
        return this.#redis.zrevrangebyscore(key, max, '-inf', 'WITHSCORES', 'LIMIT', 0, count + before);
      }),
    );
    return same
      .flatMap((flat) => pairs(flat).map(([runId, endedAt]) => ({ runId, endedAt: Number(endedAt) })))
      .filter((place) => !after || compare(after, place) < 0)
      .sort(compare)
      .slice(0, count);
  }

  #roots(): string[] {
    return Array.from({ length: PARTITIONS }, (_, partition) => this.#keys.root(partition));
  }
}

function compare(a: DeadLetterPlace, b: DeadLetterPlace): number {
  if (a.endedAt !== b.endedAt) return b.endedAt - a.endedAt;
  return a.runId < b.runId ? 1 : a.runId > b.runId ? -1 : 0;
}
