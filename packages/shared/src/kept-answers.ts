import type { Json } from './contract/json.ts';
import type { Keys } from './keys.ts';
import { partitionOfRun } from './partition.ts';
import { pairs } from './run-reader.ts';
import type { Scripts } from './scripts/index.ts';

/** Answers to some of what a parked chain asks, until there is one for each: for callers that give them one by one. */
export class KeptAnswers {
  readonly #keys: Keys;
  readonly #scripts: Scripts;

  constructor(keys: Keys, scripts: Scripts) {
    this.#keys = keys;
    this.#scripts = scripts;
  }

  /**
   * Keeps answers by question id. What is not asked now is passed over; of two answers to one question the first stays.
   *
   * @returns all answers that are kept once nothing is left open; undefined before, and when the chain is not parked
   */
  async keep(chain: string, answers: Record<string, Json>): Promise<Record<string, Json> | undefined> {
    const partition = partitionOfRun(chain);
    if (partition === undefined) return undefined;
    const given = Object.entries(answers).flatMap(([id, answer]) => [id, JSON.stringify(answer)]);
    const reply = await this.#scripts.keep_answers(this.#keys.root(partition), chain, ...given);
    const [kept, complete] = reply as [string[], string];
    if (complete === '') return undefined;
    return Object.fromEntries(pairs(kept).map(([id, text]) => [id, JSON.parse(text) as Json]));
  }
}
