import type { Keys } from './keys.ts';
import { PARTITIONS } from './partition.ts';
import type { RedisConnection } from './redis.ts';
import type { Scripts } from './scripts/index.ts';

export interface OpenLoad {
  /** Runs that have not ended: at work, ready, held, or not due yet. */
  runs: number;
  /** Of their requests. */
  bytes: number;
  /** Runs that end in a second, over the last ten to twenty. */
  endedPerSecond: number;
}

/** Where the runs stand that have not ended. */
export interface Census {
  /** All of them. */
  open: number;
  /** In the outbox: they could execute, and no worker has claimed them. Deletions and state edits too. */
  ready: number;
  /** Behind another run of their thread: what is neither ready, nor at work, nor due later. */
  behind: number;
  /** Not due yet. */
  later: number;
  /** Of the tenants asked for, in their order. */
  tenants: number[];
}

/** The runs that have not ended, over all partitions: each is right in itself, but they are not read as one. */
export class OpenRuns {
  readonly #redis: RedisConnection;
  readonly #keys: Keys;
  readonly #scripts: Scripts;

  constructor(redis: RedisConnection, keys: Keys, scripts: Scripts) {
    this.#redis = redis;
    this.#keys = keys;
    this.#scripts = scripts;
  }

  async load(): Promise<OpenLoad> {
    const load = { runs: 0, bytes: 0, endedPerSecond: 0 };
    // Sent all at once, as a pipeline is; one of ioredis could not go to several nodes of a cluster.
    const all = await Promise.all(this.#roots().map((root) => this.#scripts.open_runs(root)));
    for (const [runs, bytes, ended, ms] of all as [number, number, number, number][]) {
      load.runs += runs;
      load.bytes += bytes;
      load.endedPerSecond += (ended * 1000) / ms;
    }
    return load;
  }

  async census(tenants: string[] = []): Promise<Census> {
    const all = (await Promise.all(
      this.#roots().map((root) => this.#scripts.census(root, ...tenants)),
    )) as number[][];
    const sum = (i: number) => all.reduce((total, counts) => total + (counts[i] ?? 0), 0);
    const [open, ready, working, later] = [sum(0), sum(1), sum(2), sum(3)];
    return {
      open,
      ready,
      later,
      // Turns that are no runs of a graph are never among the open, but may be in the outbox or at work.
      behind: Math.max(0, open - ready - working - later),
      tenants: tenants.map((_, i) => sum(4 + i)),
    };
  }

  /** How many of the runs are the tenant's. */
  async ofTenant(tenant: string): Promise<number> {
    const counts = await Promise.all(
      this.#roots().map((root) => this.#redis.zcard(this.#keys.tenantOpen(root, tenant))),
    );
    return counts.reduce((sum, one) => sum + one, 0);
  }

  #roots(): string[] {
    return Array.from({ length: PARTITIONS }, (_, partition) => this.#keys.root(partition));
  }
}
