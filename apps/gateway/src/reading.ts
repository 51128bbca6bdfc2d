const FRESH_MS = 1_000;
/** What is older says nothing about now. */
const STALE_MS = 10_000;
/** A reading takes about a millisecond, more on a machine that has too much to do; a Redis that hangs is not waited for. */
const PATIENCE_MS = 250;

/**
 * A value of Redis that many need: read when somebody asks, at most once a second, and shared.
 *
 * A fault costs those who wait for that very reading 250 ms at most. After it nobody waits until a reading has come
 * through; they get the last value while it is not too old, and then none.
 */
export class Reading<T> {
  readonly #read: () => Promise<T>;
  readonly #onFault: (error: unknown) => void;
  #last: { value: T; at: number } | undefined;
  #begunAt = Number.NEGATIVE_INFINITY;
  #current: Promise<void> | undefined;
  #trusted = true;

  /** @param onFault hears of the first fault in a row */
  constructor(read: () => Promise<T>, onFault: (error: unknown) => void) {
    this.#read = read;
    this.#onFault = onFault;
  }

  /** @returns undefined while it cannot be read. Never rejects. */
  async get(): Promise<T | undefined> {
    if (!this.#current && performance.now() - this.#begunAt > FRESH_MS) this.#begin();
    if (this.#current && this.#trusted) await this.#current;
    return this.#last && performance.now() - this.#last.at < STALE_MS ? this.#last.value : undefined;
  }

  #begin(): void {
    const at = performance.now();
    this.#begunAt = at;
    let answered = false;
    const read = this.#read().then(
      (value) => {
        answered = true;
        this.#last = { value, at };
        this.#trusted = true;
        this.#current = undefined;
      },
      (error: unknown) => {
        answered = true;
        this.#distrust(error);
        this.#current = undefined;
      },
    );
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        // An answer that came while this process was busy itself has yet to be read from its socket.
        setImmediate(() => {
          if (answered) return;
          this.#distrust(new Error(`no answer within ${PATIENCE_MS} ms`));
          resolve();
        });
      }, PATIENCE_MS);
    });
    // One that hangs stays the current one, so that readings do not pile up.
    this.#current = Promise.race([read, patience]).finally(() => clearTimeout(timer));
  }

  #distrust(error: unknown): void {
    if (this.#trusted) this.#onFault(error);
    this.#trusted = false;
  }
}
