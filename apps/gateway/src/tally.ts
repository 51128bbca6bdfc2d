/**
 * A number that Redis holds, kept up to date between readings with what this gateway itself let in.
 *
 * What is let in counts at once, so that a burst cannot pass before the first of it is stored. What was under way while
 * a reading was made may count twice, until the next one.
 */
export class Tally {
  #read = 0;
  #readMark = 0;
  #admitted = 0;
  #settled = 0;

  /** To be taken before a reading is sent: all that has settled by then is in it. */
  mark(): number {
    return this.#settled;
  }

  update(read: number, mark: number): void {
    this.#read = read;
    this.#readMark = mark;
  }

  get value(): number {
    return this.#read + this.#admitted - this.#readMark;
  }

  admit(amount: number): void {
    this.#admitted += amount;
  }

  /** It is stored, or will never be. */
  settle(amount: number, stored: boolean): void {
    if (stored) this.#settled += amount;
    else this.#admitted -= amount;
  }
}
