import { z } from 'zod';
import { type Effect, type EffectCall, effect } from './contract/effect.ts';
import type { Json } from './contract/json.ts';
import type { Keys } from './keys.ts';
import { partitionOfRun } from './partition.ts';
import type { Lease } from './run-moves.ts';
import type { Scripts } from './scripts/index.ts';

export type BeginResult =
  /** It may be called, and is noted. */
  | { outcome: 'begun' }
  /** Somebody else has the thread, or the run is to stop: it must not be called. */
  | { outcome: 'lost' | 'cancel' }
  /** It began under another lease, and nobody knows how it went. */
  | { outcome: 'unknown'; effect: Effect }
  /** It was called before, and returned this. */
  | { outcome: 'returned'; output: string }
  /** A person said what it is to return. */
  | { outcome: 'skip'; result: Json };

/** Calls of tools that must not be repeated, noted with the chain of the runs that make them. */
export class Effects {
  readonly #keys: Keys;
  readonly #scripts: Scripts;

  constructor(keys: Keys, scripts: Scripts) {
    this.#keys = keys;
    this.#scripts = scripts;
  }

  /** Notes a call, unless something is known of it already. */
  async begin(runId: string, lease: Lease, call: EffectCall): Promise<BeginResult> {
    const [outcome, text = ''] = (await this.#scripts.begin_effect(
      this.#rootOf(runId),
      runId,
      lease.token,
      lease.nonce,
      JSON.stringify(call),
    )) as [BeginResult['outcome'], string?];
    switch (outcome) {
      case 'unknown':
        return { outcome, effect: effect.parse(JSON.parse(text)) };
      case 'returned':
        return { outcome, output: text };
      case 'skip':
        return { outcome, result: JSON.parse(text) as Json };
      default:
        return { outcome };
    }
  }

  /** Keeps what a call returned. */
  async returned(runId: string, lease: Lease, id: string, output: string): Promise<'ok' | 'lost'> {
    return this.#note(runId, lease, [id, 'output', output]);
  }

  /** Keeps what a person decided about calls of unknown outcome. */
  async decide(
    runId: string,
    lease: Lease,
    decisions: { id: string; decision: 'repeat' | 'skip'; result?: Json }[],
  ): Promise<'ok' | 'lost'> {
    const fields = decisions.flatMap(({ id, decision, result }) => [
      ...(result === undefined ? [] : [id, 'result', JSON.stringify(result)]),
      id,
      'decision',
      decision,
    ]);
    return this.#note(runId, lease, fields);
  }

  async #note(runId: string, lease: Lease, fields: string[]): Promise<'ok' | 'lost'> {
    const { token, nonce } = lease;
    return (await this.#scripts.note_effect(this.#rootOf(runId), runId, token, nonce, ...fields)) as
      | 'ok'
      | 'lost';
  }

  #rootOf(runId: string): string {
    return this.#keys.root(partitionOfRun(runId) ?? 0);
  }
}

/** What a chain has noted, as its field in Redis has it. */
export function parseEffects(text: string | null | undefined): Effect[] {
  return text ? Object.values(z.record(z.string(), effect).parse(JSON.parse(text))) : [];
}
