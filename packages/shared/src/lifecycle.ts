import type { Logger } from './logger.ts';

type Step = { name: string; stop: () => Promise<void> | void };

/**
 * Leaves in order: what was started last is stopped first, each step is waited for, and all of it happens once.
 */
export class Lifecycle {
  readonly #logger: Logger;
  readonly #deadlineMs: number;
  readonly #steps: Step[] = [];
  #stopping: Promise<void> | undefined;

  /** @param deadlineMs after which the process leaves even so, with exit code 1 */
  constructor(logger: Logger, deadlineMs: number) {
    this.#logger = logger;
    this.#deadlineMs = deadlineMs;
  }

  /** Registers how to stop what has just been started. */
  onStop(name: string, stop: Step['stop']): void {
    this.#steps.push({ name, stop });
  }

  /** Whether the process is on its way out. */
  get stopping(): boolean {
    return this.#stopping !== undefined;
  }

  /** Stops everything. A second call waits for the first. */
  stop(reason: string): Promise<void> {
    this.#stopping ??= this.#stop(reason);
    return this.#stopping;
  }

  async #stop(reason: string): Promise<void> {
    this.#logger.info({ reason }, 'stopping');
    for (const step of this.#steps.reverse()) {
      try {
        await step.stop();
      } catch (error) {
        this.#logger.error({ step: step.name, err: error }, 'a step of stopping failed');
      }
    }
    this.#logger.info('stopped');
  }

  /**
   * Stops on SIGTERM, SIGINT and SIGHUP and exits 0. With `withStdin`, also when stdin closes: a launcher that
   * is killed cannot send a signal, but the pipe it held closes.
   */
  exitOnSignals(options: { withStdin: boolean }): void {
    const leave = (reason: string) => {
      if (this.stopping) return;
      setTimeout(() => {
        this.#logger.error({ deadlineMs: this.#deadlineMs }, 'did not stop in time');
        process.exit(1);
      }, this.#deadlineMs).unref();
      void this.stop(reason).then(() => process.exit(0));
    };
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => leave(signal));
    if (options.withStdin) {
      process.stdin.on('end', () => leave('stdin closed'));
      process.stdin.on('error', () => leave('stdin closed'));
      process.stdin.resume();
    }
  }
}
