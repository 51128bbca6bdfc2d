import type { Keys } from './keys.ts';
import type { RedisConnection } from './redis.ts';
import type { Scripts } from './scripts/index.ts';

/** What a queue's workers have told of themselves. */
export interface Pace {
  /** Runs that one worker executes at once; undefined before any worker has been here. */
  concurrency: number | undefined;
  /** Seconds that a run executes on average, over the last minutes in which any ended; undefined before the first. */
  runSeconds: number | undefined;
}

/** How fast the workers of each queue are, for who decides how many there should be. */
export class QueuePace {
  readonly #redis: RedisConnection;
  readonly #keys: Keys;
  readonly #scripts: Scripts;

  constructor(redis: RedisConnection, keys: Keys, scripts: Scripts) {
    this.#redis = redis;
    this.#keys = keys;
    this.#scripts = scripts;
  }

  /** @param ended runs that one worker has brought to an end since it last told, and the milliseconds they executed */
  async note(queue: string, concurrency: number, ended: { runs: number; ms: number }): Promise<void> {
    await this.#scripts.note_pace(this.#keys.pace(queue), ended.runs, ended.ms, concurrency);
  }

  async read(queue: string): Promise<Pace> {
    const [concurrency, runs, ms] = await this.#redis.hmget(
      this.#keys.pace(queue),
      'concurrency',
      'runs',
      'ms',
    );
    return {
      concurrency: concurrency == null ? undefined : Number(concurrency),
      runSeconds: Number(runs) > 0 ? Number(ms) / Number(runs) / 1000 : undefined,
    };
  }
}
