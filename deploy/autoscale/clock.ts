import { setTimeout as pause } from 'node:timers/promises';

/**
 * Time as the cluster would have it: every second of it is 1/`factor` of a second here. All of the emulation that would be
 * told in seconds goes by it.
 */
export class Clock {
  readonly factor: number;
  readonly #began = Date.now();

  constructor(factor: number) {
    this.factor = factor;
  }

  /** Seconds since it began. */
  now(): number {
    return this.at(Date.now());
  }

  /** The second of a time in milliseconds since the epoch. */
  at(epochMs: number): number {
    return ((epochMs - this.#began) * this.factor) / 1000;
  }

  /** Milliseconds here. */
  toMs(seconds: number): number {
    return (seconds * 1000) / this.factor;
  }

  /** @throws AbortError */
  sleep(seconds: number, signal: AbortSignal): Promise<void> {
    return pause(this.toMs(seconds), undefined, { signal });
  }
}
