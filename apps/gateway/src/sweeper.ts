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
 * Brings about what time alone does: forgotten jobs are rung, expired leases passed on, due runs let go, and
 * unused threads removed. Every gateway has one; that they all look is harmless, and none is missed.
 */
export class Sweeper {
  readonly #services: Services;
  readonly #metrics: SweeperMetrics;
  readonly #intervalMs: number;
  readonly #stop = new AbortController();
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

  /** Waits for the round at work. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** Looks through all partitions once. Rejects, when the others are done, if some could not be looked through. */
  async round(options: { ringAfterMs?: number } = {}): Promise<void> {
    const { store, doorbell } = this.#services;
    const sweeps = await Promise.allSettled(
      Array.from({ length: PARTITIONS }, (_, partition) =>
        store.sweep(partition, { limit: LIMIT, ringAfterMs: options.ringAfterMs ?? RING_AFTER_MS }),
      ),
    );
    // Of a cluster a part may be away: the others must not wait for it.
    const found = sweeps.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const jobs = found.flatMap((one) => one.jobs);
    await doorbell.ring(jobs);
    this.#metrics.rung.inc(jobs.length);
    await this.#expire(found.flatMap((one) => one.expiredThreads));
    const failed = sweeps.find((one) => one.status === 'rejected');
    if (failed) throw failed.reason;
  }

  async #expire(threads: { tenant: string; thread: string }[]): Promise<void> {
    const until = performance.now() + EXPIRE_MS;
    for (let i = 0; i < threads.length && performance.now() < until; i += EXPIRE_AT_ONCE) {
      const some = threads.slice(i, i + EXPIRE_AT_ONCE);
      const removed = await Promise.all(
        some.map(({ tenant, thread }) => expireThread(this.#services, tenant, thread)),
      );
      this.#metrics.expired.inc(removed.filter(Boolean).length);
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      // Not all gateways at once.
      const pause = this.#intervalMs * (0.5 + Math.random());
      await sleep(pause, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        await this.round();
        if (this.#failing) this.#services.logger.info('sweeping again');
        this.#failing = false;
      } catch (error) {
        this.#metrics.failures.inc();
        if (!this.#failing) this.#services.logger.warn({ err: error }, 'sweeping fails; it goes on trying');
        this.#failing = true;
      }
    }
  }
}
