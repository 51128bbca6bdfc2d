import type { Fleet } from './fleet.ts';
import { type Acknowledged, LoadClient } from './load.ts';

/** One lane each: what it sends to a thread is in an order that it knows. */
const LANES = ['chain', 'chain', 'siblings', 'siblings', 'echo', 'ask', 'ask', 'ask'];
const THREADS_PER_LANE = 3;
/** Runs of one thread that a lane leaves waiting behind one another. */
const LONGEST_BURST = 4;
/** How often an order is sent again after it was acknowledged. */
const REPEATED = 0.2;

/** What a phase's callers do until they are told to stop. */
export class SoakLoad {
  readonly client: LoadClient;
  readonly #random: () => number;
  readonly #name: string;
  #number = 0;

  /** @param name begins the names of its threads */
  constructor(fleet: Fleet, name: string, random: () => number) {
    this.client = new LoadClient(fleet, random);
    this.#name = name;
    this.#random = random;
  }

  /**
   * @param stop no new orders from then on
   * @param giveUp nor any more waiting for those there are
   */
  async run(stop: AbortSignal, giveUp: AbortSignal): Promise<void> {
    await Promise.all(LANES.map((graph, lane) => this.#lane(graph, lane, stop, giveUp)));
  }

  async #lane(graph: string, lane: number, stop: AbortSignal, giveUp: AbortSignal): Promise<void> {
    try {
      while (!stop.aborted && !giveUp.aborted) {
        const thread = `${this.#name}-${lane}-${Math.floor(this.#random() * THREADS_PER_LANE)}`;
        await (graph === 'ask' ? this.#conversation(thread, giveUp) : this.#burst(graph, thread, giveUp));
      }
    } catch (error) {
      // Refused: the others go on.
      this.client.complaints.push(`a client of ${graph} was stopped: ${error}`);
    }
  }

  async #burst(graph: string, thread: string, giveUp: AbortSignal): Promise<void> {
    const length = 1 + Math.floor(this.#random() * LONGEST_BURST);
    let last: Acknowledged | undefined;
    for (let n = 0; n < length && !giveUp.aborted; n++) {
      last = await this.client.submit(graph, thread, `n${this.#number++}`, {
        again: this.#random() < REPEATED,
        signal: giveUp,
      });
    }
    if (last) await this.client.outcome(last, giveUp);
  }

  async #conversation(thread: string, giveUp: AbortSignal): Promise<void> {
    const { client } = this;
    const asked = await client.submit('ask', thread, `n${this.#number++}`, {
      again: this.#random() < REPEATED,
      signal: giveUp,
    });
    if (!asked || !(await client.outcome(asked, giveUp))) return;
    const options = { again: this.#random() < REPEATED, signal: giveUp };
    const answered = await client.answer(asked, `yes-${asked.text}`, options);
    if (!answered) return;
    if (this.#random() < REPEATED) await client.answerTooLate(asked, giveUp);
    // Not always: the next message may come while the answered run is at work.
    if (this.#random() < 0.5) await client.outcome(answered, giveUp);
  }
}
