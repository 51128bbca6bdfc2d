import type { Logger } from '@millrace/shared/logger';
import type { QueuePace } from '@millrace/shared/queue-pace';

const TELL_MS = 2_000;
const TELL_ALL_MS = 30_000;

/** Gathers how long the runs of this worker take, and tells of it every other second. */
export class PaceKeeper {
  readonly #pace: QueuePace;
  readonly #concurrency: number;
  readonly #logger: Logger;
  readonly #ended: Map<string, { runs: number; ms: number }>;
  readonly #timers: NodeJS.Timeout[];
  #telling = false;

  constructor(pace: QueuePace, queues: string[], concurrency: number, logger: Logger) {
    this.#pace = pace;
    this.#concurrency = concurrency;
    this.#logger = logger;
    this.#ended = new Map(queues.map((queue) => [queue, { runs: 0, ms: 0 }]));
    this.#timers = [
      setInterval(() => void this.#tell((ended) => ended.runs > 0), TELL_MS),
      setInterval(() => void this.publish(), TELL_ALL_MS),
    ];
  }

  ended(queue: string, ms: number): void {
    const sum = this.#ended.get(queue);
    if (!sum) return;
    sum.runs += 1;
    sum.ms += ms;
  }

  /** Tells of every queue, also of those where nothing has ended. Never rejects. */
  publish(): Promise<void> {
    return this.#tell(() => true);
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  async #tell(about: (ended: { runs: number }) => boolean): Promise<void> {
    // While Redis is away, telling waits; more of it would only queue up behind.
    if (this.#telling) return;
    this.#telling = true;
    try {
      for (const [queue, ended] of this.#ended) {
        if (!about(ended)) continue;
        const { runs, ms } = ended;
        await this.#pace.note(queue, this.#concurrency, { runs, ms });
        ended.runs -= runs;
        ended.ms -= ms;
      }
    } catch (error) {
      this.#logger.debug({ err: error }, 'the pace could not be told');
    } finally {
      this.#telling = false;
    }
  }
}
