import { groupBy } from './group-by.ts';
import type { Keys } from './keys.ts';
import { PARTITIONS, partitionOfRun } from './partition.ts';
import type { RedisConnection } from './redis.ts';
import type { Job } from './run-moves.ts';
import type { Scripts } from './scripts/index.ts';

/** When a job that nobody has claimed is rung again: the queue may have lost it. */
const RING_AGAIN_MS = 60_000;

/** The runs that are ready, until somebody claims them: what a queue forgets is found here. */
export class Outbox {
  readonly #redis: RedisConnection;
  readonly #keys: Keys;
  readonly #scripts: Scripts;

  constructor(redis: RedisConnection, keys: Keys, scripts: Scripts) {
    this.#redis = redis;
    this.#keys = keys;
    this.#scripts = scripts;
  }

  /** The queue has these jobs now: the sweeper need not ring them soon. */
  async rung(jobs: Job[]): Promise<void> {
    const byRoot = groupBy(jobs, (job) => this.#rootOf(job));
    await Promise.all(
      [...byRoot].map(([root, group]) =>
        this.#scripts.rung(root, RING_AGAIN_MS, ...group.map((job) => job.id)),
      ),
    );
  }

  /** The queue had this job and lost it to a fault: it is rung again soon, unless it was claimed. */
  async ringAgain(job: Job): Promise<void> {
    await this.#scripts.rung(this.#rootOf(job), 0, job.id);
  }

  /** Jobs that are ready and not in the queue yet, counted by queue. */
  async unrung(): Promise<Map<string, number>> {
    const roots = Array.from({ length: PARTITIONS }, (_, partition) => this.#keys.root(partition));
    const [seconds] = await this.#redis.time();
    // What has been rung has a time in the future.
    const now = (Number(seconds) + 1) * 1000;
    const members = await Promise.all(
      roots.map((root) => this.#redis.zrangebyscore(this.#keys.outbox(root), '-inf', now, 'LIMIT', 0, 1000)),
    );
    const counts = new Map<string, number>();
    await Promise.all(
      members.flatMap((jobs, i) =>
        jobs.map(async (job) => {
          const queue = await this.#redis.hget(this.#keys.run(roots[i] ?? '', job.slice(0, 36)), 'queue');
          if (queue) counts.set(queue, (counts.get(queue) ?? 0) + 1);
        }),
      ),
    );
    return counts;
  }

  #rootOf(job: Job): string {
    return this.#keys.root(partitionOfRun(job.id.slice(0, 36)) ?? 0);
  }
}
