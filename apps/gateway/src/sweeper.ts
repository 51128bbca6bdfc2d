import { setTimeout as sleep } from 'node:timers/promises';
import { PARTITIONS } from '@millrace/shared/partition';
import type { SweeperMetrics } from './metrics.ts';
import type { Services } from './services.ts';
import { expireThread } from './use-cases/threads.ts';

const INTERVAL_MS = 1_000;
/** A job that its submitter has not rung by then has been forgotten. */
const RING_AFTER_MS = 2_000;
/** Most entries of each kind in one partition and round: a backlog is worked off, not swallowed. */
const LIMIT = 100;
/** Removing threads takes time, and forgotten jobs wait meanwhile. So many at once, and none begun past so long. */
const EXPIRE_AT_ONCE = 16;
const EXPIRE_MS = 500;
/**
 * What hangs is looked through again when it has answered, the rest goes on: soon enough that nobody takes the distance of two looks
 * for an outage (lease.lua).
 */
const LONGEST_ROUND_MS = 500;

interface UnusedThread {
  tenant: string;
  thread: string;
}

/**
 * Brings about what time alone does: forgotten jobs are rung, expired leases passed on, due runs let go, and
 * unused threads removed. Every gateway has one; that they all look is harmless, and none is missed.
 */
export class Sweeper {
  readonly #services: Services;
  readonly #metrics: SweeperMetrics;
  readonly #intervalMs: number;
  readonly #stop = new AbortController();
  /** Partitions. */
  readonly #looking = new Set<number>();
  readonly #rounds = new Set<Promise<void>>();
  #expiring = false;
  #running: Promise<void> | undefined;
  #failing = false;

  /** @param options.intervalMs between rounds, give or take a half */
  constructor(services: Services, metrics: SweeperMetrics, options: { intervalMs?: number } = {}) {
    this.#services = services;
    this.#metrics = metrics;
    this.#intervalMs = options.intervalMs ?? INTERVAL_MS;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Waits for the rounds at work. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /**
   * Looks once through all partitions that are not still being looked through. Rejects, when the others are done, if some could
   * not be.
   *
   * @returns whether it was all of them
   */
  async round(options: { ringAfterMs?: number } = {}): Promise<boolean> {
    const partitions = Array.from({ length: PARTITIONS }, (_, i) => i).filter(
      (one) => !this.#looking.has(one),
    );
    const looks = await Promise.allSettled(
      partitions.map((partition) => this.#look(partition, options.ringAfterMs ?? RING_AFTER_MS)),
    );
    await this.#expire(looks.flatMap((one) => (one.status === 'fulfilled' ? one.value : [])));
    const failed = looks.find((one) => one.status === 'rejected');
    if (failed) throw failed.reason;
    return partitions.length === PARTITIONS;
  }

  /** Of a cluster a part may be away: the others do not wait for it. @returns unused threads */
  async #look(partition: number, ringAfterMs: number): Promise<UnusedThread[]> {
    const { store, doorbell } = this.#services;
    this.#looking.add(partition);
    try {
      const { jobs, expiredThreads } = await store.sweep(partition, { limit: LIMIT, ringAfterMs });
      await doorbell.ring(jobs);
      this.#metrics.rung.inc(jobs.length);
      return expiredThreads;
    } finally {
      this.#looking.delete(partition);
    }
  }

  async #expire(threads: UnusedThread[]): Promise<void> {
    // An earlier round may still be at it. What is left out is found again.
    if (this.#expiring) return;
    this.#expiring = true;
    const until = performance.now() + EXPIRE_MS;
    try {
      for (let i = 0; i < threads.length && performance.now() < until; i += EXPIRE_AT_ONCE) {
        const some = threads.slice(i, i + EXPIRE_AT_ONCE);
        const removed = await Promise.all(
          some.map(({ tenant, thread }) => expireThread(this.#services, tenant, thread)),
        );
        this.#metrics.expired.inc(removed.filter(Boolean).length);
      }
    } finally {
      this.#expiring = false;
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      // Not all gateways at once.
      await pause(this.#intervalMs * (0.5 + Math.random()), signal);
      if (signal.aborted) break;
      const over = new AbortController();
      const round = this.#tell(this.round()).then(() => {
        this.#rounds.delete(round);
        over.abort();
      });
      this.#rounds.add(round);
      await pause(LONGEST_ROUND_MS, over.signal);
    }
    await Promise.all(this.#rounds);
  }

  async #tell(round: Promise<boolean>): Promise<void> {
    try {
      if (!(await round) || !this.#failing) return;
      this.#services.logger.info('sweeping again');
      this.#failing = false;
    } catch (error) {
      this.#metrics.failures.inc();
      if (!this.#failing) this.#services.logger.warn({ err: error }, 'sweeping fails; it goes on trying');
      this.#failing = true;
    }
  }
}

const pause = (ms: number, signal: AbortSignal) => sleep(ms, undefined, { signal }).catch(() => undefined);
