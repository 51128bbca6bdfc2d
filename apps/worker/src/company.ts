/**
 * Who shares a worker's process. Whoever kills it takes the others along; a run that may be the one who does has it to
 * itself for once, and then it is certain.
 */
export class Company {
  readonly #door: { shut: () => void; open: () => void };
  /** Runs at work. */
  #present = 0;
  /** Those that wait to be the only one; told whether they are. */
  #line: ((alone: boolean) => void)[] = [];
  #alone = false;
  #ending = false;

  /** @param door shut: nobody more is to be let in, and those at work are to make room; may be called again */
  constructor(door: { shut: () => void; open: () => void }) {
    this.#door = door;
  }

  /** Whether those at work are to make room for somebody who waits to be alone. */
  get isCrowded(): boolean {
    return !this.#alone && this.#line.length > 0;
  }

  /** @returns false while somebody is alone, or waits for it: the run is for another worker */
  enter(): boolean {
    if (this.#isShut()) return false;
    this.#present += 1;
    return true;
  }

  leave(): void {
    this.#present -= 1;
    this.#alone = false;
    this.#next();
  }

  /** Resolves when nobody else is at work; to false when the worker leaves before that. For one that has entered. */
  async alone(): Promise<boolean> {
    if (this.#ending) return false;
    this.#present -= 1;
    const turn = new Promise<boolean>((resolve) => this.#line.push(resolve));
    if (this.isCrowded) this.#door.shut();
    this.#next();
    return turn;
  }

  /** Whoever is alone need not be any more. */
  share(): void {
    if (!this.#alone) return;
    this.#alone = false;
    if (this.isCrowded) this.#door.shut();
    this.#next();
  }

  /** The worker leaves: nobody gets to be alone from now on. */
  end(): void {
    this.#ending = true;
    for (const resolve of this.#line.splice(0)) {
      this.#present += 1;
      resolve(false);
    }
  }

  #isShut(): boolean {
    return this.#alone || this.isCrowded;
  }

  #next(): void {
    if (!this.#isShut()) {
      if (!this.#ending) this.#door.open();
    } else if (this.isCrowded && this.#present === 0) {
      this.#alone = true;
      this.#present = 1;
      this.#line.shift()?.(true);
    }
  }
}
