import { groupBy } from '@millrace/shared/group-by';
import type { Logger } from '@millrace/shared/logger';
import { partitionOfRun } from '@millrace/shared/partition';
import type { RunStore } from '@millrace/shared/run-store';
import type { Attempt } from './attempt.ts';

/** Renewals per lease: one may fail, or be late, without the lease being lost. */
const RENEWALS_PER_LEASE = 4;

/** Holds the attempts of a worker and keeps their leases, those of a partition in one call. */
export class LeaseKeeper {
  readonly #store: RunStore;
  readonly #leaseMs: number;
  readonly #logger: Logger;
  readonly #attempts = new Map<string, Attempt>();
  readonly #timer: NodeJS.Timeout;
  readonly #idle: (() => void)[] = [];
  /** Partitions. */
  readonly #renewing = new Set<number | undefined>();

  constructor(store: RunStore, leaseMs: number, logger: Logger) {
    this.#store = store;
    this.#leaseMs = leaseMs;
    this.#logger = logger;
    this.#timer = setInterval(() => this.#renewAll(), leaseMs / RENEWALS_PER_LEASE);
  }

  get attempts(): Attempt[] {
    return [...this.#attempts.values()];
  }

  add(attempt: Attempt): void {
    // The queue gave this worker its own run again: the lease is the new attempt's.
    this.#attempts.get(attempt.runId)?.stop('lost');
    this.#attempts.set(attempt.runId, attempt);
  }

  remove(attempt: Attempt): void {
    if (this.#attempts.get(attempt.runId) === attempt) this.#attempts.delete(attempt.runId);
    if (this.#attempts.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** Resolves when no attempt is at work. */
  idle(): Promise<void> {
    if (this.#attempts.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Somebody asked for this run to be stopped. */
  cancel(runId: string): void {
    this.#attempts.get(runId)?.stop('cancelled');
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #renewAll(): void {
    // Of a cluster a part may be away: the others must not wait for it.
    for (const [partition, attempts] of groupBy(this.attempts, ({ runId }) => partitionOfRun(runId))) {
      void this.#renew(partition, attempts);
    }
  }

  async #renew(partition: number | undefined, attempts: Attempt[]): Promise<void> {
    // While Redis is away a renewal waits; more of them would only queue up behind it.
    if (this.#renewing.has(partition)) return;
    this.#renewing.add(partition);
    try {
      const held = attempts.map(({ runId, claim, eventsStored, usedMs, baseStep }) => ({
        runId,
        lease: claim.lease,
        events: eventsStored,
        usedMs,
        baseStep,
      }));
      const results = await this.#store.renew(this.#leaseMs, held);
      results.forEach((result, i) => {
        if (result === 'lost') attempts[i]?.stop('lost');
        if (result === 'cancel') attempts[i]?.stop('cancelled');
      });
    } catch (error) {
      this.#logger.warn({ err: error }, 'leases could not be renewed');
    } finally {
      this.#renewing.delete(partition);
    }
  }
}
