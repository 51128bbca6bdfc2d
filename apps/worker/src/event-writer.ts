import type { NewEvent } from '@millrace/shared/contract/event';
import type { RunStore } from '@millrace/shared/run-store';
import type { Attempt } from './attempt.ts';

/** Tokens come faster than anybody reads; Redis pays per call. */
const BATCH_MS = 40;
const BATCH_BYTES = 64 * 1024;

/**
 * Writes an attempt's events in order, in batches. The first event after a quiet while goes out at once, so that
 * batching costs a fast run no time.
 */
export class EventWriter {
  readonly #store: RunStore;
  readonly #attempt: Attempt;
  #pending: NewEvent[] = [];
  #bytes = 0;
  #ordinal = 1;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> = Promise.resolve();
  #sentAt = Number.NEGATIVE_INFINITY;
  #failure: unknown;

  constructor(store: RunStore, attempt: Attempt) {
    this.#store = store;
    this.#attempt = attempt;
  }

  /** Queues an event. Stops the attempt when the store says that it is cancelled or no longer ours. */
  write(name: string, data: string): void {
    if (this.#attempt.stopReason === 'lost' || this.#failure) return;
    this.#pending.push({ name, data });
    this.#bytes += data.length;
    if (performance.now() - this.#sentAt > BATCH_MS || this.#bytes > BATCH_BYTES) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), BATCH_MS);
  }

  /** Resolves when all that was written is in the stream; rejects when some could not be. */
  async flush(): Promise<void> {
    this.#send();
    await this.#sending;
    if (this.#failure) throw this.#failure;
  }

  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#pending.length === 0) return;
    const batch = this.#pending;
    const first = this.#ordinal;
    this.#pending = [];
    this.#bytes = 0;
    this.#ordinal += batch.length;
    this.#sentAt = performance.now();
    this.#sending = this.#sending.then(async () => {
      // After a batch that did not get in, a later one would hide the hole.
      if (this.#failure) return;
      try {
        const result = await this.#store.emit(this.#attempt.runId, this.#attempt.claim.lease, first, batch);
        if (result !== 'lost') this.#attempt.eventsStored = first + batch.length - 1;
        if (result === 'lost') this.#attempt.stop('lost');
        if (result === 'cancel') this.#attempt.stop('cancelled');
      } catch (error) {
        this.#failure ??= error;
        this.#attempt.stop('refused');
      }
    });
  }
}
