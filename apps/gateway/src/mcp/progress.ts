/** Tells the client how far its call is, no more often than it can use. */
export class Progress {
  readonly #send: (step: { progress: number; message: string }) => Promise<void>;
  readonly #everyMs: number;
  #steps = 0;
  #held: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> = Promise.resolve();
  #closed = false;

  /** @param everyMs the least distance between two messages; the newest of those in between is sent after it */
  constructor(send: (step: { progress: number; message: string }) => Promise<void>, everyMs: number) {
    this.#send = send;
    this.#everyMs = everyMs;
  }

  report(message: string): void {
    if (this.#closed) return;
    if (this.#timer) this.#held = message;
    else this.#emit(message);
  }

  /** Nothing is sent after this resolves, so that the result is the call's last word. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#sending;
  }

  #emit(message: string): void {
    this.#steps += 1;
    const step = { progress: this.#steps, message };
    // A client that has gone hears nothing, and the call notices it by itself.
    this.#sending = this.#sending.then(() => this.#send(step)).catch(() => undefined);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const held = this.#held;
      this.#held = undefined;
      if (held !== undefined) this.#emit(held);
    }, this.#everyMs);
  }
}
