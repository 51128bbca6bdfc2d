import type { RunEvent } from '@millrace/shared/contract/event';

/** A message as `updates` events have it, as far as it matters here. */
interface Message {
  id?: unknown;
  usage_metadata?: { total_tokens?: unknown };
}

/**
 * Counts the tokens of one run that its models' providers have told of, in messages that finished steps returned. Nothing is
 * estimated: a model that tells nothing, or whose message does not come out of its step, is not in it.
 */
export class RunTokens {
  readonly #knownBefore: () => Promise<Set<unknown>>;
  #known: Promise<Set<unknown>> | undefined;
  #total = 0;

  /** @param knownBefore ids of the messages that the run found: a step may return these again. Asked once, if at all. */
  constructor(knownBefore: () => Promise<Set<unknown>>) {
    this.#knownBefore = knownBefore;
  }

  /** @returns all so far */
  async count(event: RunEvent): Promise<number> {
    if (event.name === 'updates' || event.name.startsWith('updates|')) {
      for (const { id, usage_metadata } of messagesIn(JSON.parse(event.data))) {
        const tokens = usage_metadata?.total_tokens;
        // Without an id, the same message could come from a sub-graph and from the graph around it.
        if (typeof tokens !== 'number' || typeof id !== 'string') continue;
        this.#known ??= this.#knownBefore();
        const known = await this.#known;
        if (known.has(id)) continue;
        known.add(id);
        this.#total += tokens;
      }
    }
    return this.#total;
  }
}

/** Of `{node: {messages: […]}}`: what each node of a step returned. */
function messagesIn(updates: unknown): Message[] {
  if (typeof updates !== 'object' || updates === null) return [];
  return Object.values(updates).flatMap((update: { messages?: unknown } | null) => {
    const messages = [update?.messages ?? []].flat();
    return messages.filter((one): one is Message => typeof one === 'object' && one !== null);
  });
}
