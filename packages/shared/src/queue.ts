import { Queue } from 'bullmq';
import type { Keys } from './keys.ts';
import { partitionOfRun } from './partition.ts';
import { type RedisConnection, timeOf } from './redis.ts';
import type { Job } from './run-moves.ts';
import type { RunStore } from './run-store.ts';

/** What a job of ours carries; all else is in the run's record. */
export interface JobData {
  runId: string;
}

/**
 * Options of every job. One try and no trace: BullMQ is the doorbell, and the run's record is the truth.
 */
const jobOptions = { attempts: 1, removeOnComplete: true, removeOnFail: true } as const;

/** How far down a queue a job is looked for. */
const COUNTED_JOBS = 1000;

/** Demand of one queue, in runs. */
export interface Demand {
  /** In the queue, with no worker yet. */
  waiting: number;
  /** With a worker. */
  active: number;
  /** Ready, and not in the queue yet. */
  unrung: number;
  /** What autoscaling follows; 0 while the queue is paused. */
  demand: number;
  /** Seconds the longest waiting job has waited; 0 when none waits. */
  oldestWaitSeconds: number;
}

/** Puts ready runs into BullMQ, and reads from there how much work there is. */
export class Doorbell {
  readonly #redis: RedisConnection;
  readonly #keys: Keys;
  readonly #store: RunStore;
  readonly #queues = new Map<string, Queue<JobData>>();

  constructor(redis: RedisConnection, store: RunStore) {
    this.#redis = redis;
    this.#keys = store.keys;
    this.#store = store;
  }

  /** Rings for ready runs, and notes in the outbox that it was done. Ringing twice for one job is ringing once. */
  async ring(jobs: (Job | undefined)[]): Promise<void> {
    const ready = jobs.filter((job) => job !== undefined);
    if (ready.length === 0) return;
    await Promise.all(
      ready.map((job) =>
        this.#queue(job.queue).add('run', { runId: job.id.slice(0, 36) }, { ...jobOptions, jobId: job.id }),
      ),
    );
    await this.#store.outbox.rung(ready);
  }

  /**
   * How many jobs a worker takes before this one; undefined when it is not in the queue, or behind more than
   * {@link COUNTED_JOBS}.
   */
  async ahead({ id, queue }: Job): Promise<number | undefined> {
    // Workers take from the end of the list.
    const list = `${this.#keys.queuePrefix()}:${queue}:wait`;
    const [at, length] = await Promise.all([
      this.#redis.lpos(list, id, 'RANK', -1, 'MAXLEN', COUNTED_JOBS),
      this.#redis.llen(list),
    ]);
    return at === null ? undefined : Math.max(0, length - 1 - at);
  }

  async demand(queue: string, unrung: number): Promise<Demand> {
    const q = this.#queue(queue);
    const [counts, paused, oldest] = await Promise.all([
      q.getJobCounts('wait', 'prioritized', 'active'),
      q.isPaused(),
      q.getJobs(['wait', 'prioritized'], 0, 0, true),
    ]);
    const waiting = (counts.wait ?? 0) + (counts.prioritized ?? 0);
    const active = counts.active ?? 0;
    return {
      waiting,
      active,
      unrung,
      demand: paused ? 0 : waiting + active + unrung,
      oldestWaitSeconds: oldest[0] ? await this.#waited(oldest[0].data.runId) : 0,
    };
  }

  /** Seconds since the run became ready. By the clock of Redis: a job's own time is that of who added it. */
  async #waited(runId: string): Promise<number> {
    const run = this.#keys.run(this.#keys.root(partitionOfRun(runId) ?? 0), runId);
    const [since, now] = await Promise.all([this.#redis.hget(run, 'updatedAt'), timeOf(this.#redis)]);
    return since === null ? 0 : Math.max(0, (now - Number(since)) / 1000);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#queues.values()].map((queue) => queue.close()));
  }

  #queue(name: string): Queue<JobData> {
    let queue = this.#queues.get(name);
    if (!queue) {
      queue = new Queue<JobData>(name, { connection: this.#redis, prefix: this.#keys.queuePrefix() });
      this.#queues.set(name, queue);
    }
    return queue;
  }
}
