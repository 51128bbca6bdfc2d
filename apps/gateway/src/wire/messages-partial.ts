import type { JsonObject } from '@millrace/shared/contract/json';
import { isChunk, mergeChunks, type WireMessage } from './message-merge.ts';

/** One event of the Agent Server's older `messages` mode. */
export interface MessagesEvent {
  event: 'messages/metadata' | 'messages/partial' | 'messages/complete';
  /** JSON text: `{id: {metadata}}` for the first, an array with one message for the others. */
  data: string;
}

interface OpenMessage {
  message: WireMessage;
  graph: string;
  step: number;
}

/**
 * Makes the older `messages` mode, which sends each message whole as far as it has come, out of LangGraph's tuples
 * of parts. Knows a run's messages so far: whoever joins a stream in its middle feeds it what went before.
 */
export class MessagesPartial {
  readonly #open = new Map<string, OpenMessage>();
  readonly #announced = new Set<string>();
  readonly #complete = new Set<string>();

  /** @param data JSON text of `[message or part of one, metadata]`; what is no such thing, or has no id, gives nothing */
  add(data: string): MessagesEvent[] {
    const tuple: unknown = JSON.parse(data);
    if (!Array.isArray(tuple)) return [];
    const [message, metadata] = tuple as [JsonObject | undefined, JsonObject | null | undefined];
    const { graph, step } = placeOf(metadata ?? {});
    const events = this.#completeBefore(graph, step);
    if (!hasId(message)) return events;
    const { id } = message;
    // The whole message may follow its parts, and a message of the state may come again.
    if (this.#complete.has(id)) return events;
    if (!this.#announced.has(id)) {
      this.#announced.add(id);
      events.push({ event: 'messages/metadata', data: JSON.stringify({ [id]: { metadata } }) });
    }
    if (isChunk(message)) {
      const before = this.#open.get(id);
      const merged = before ? mergeChunks(before.message, message) : message;
      this.#open.set(id, { message: merged, graph, step });
      events.push({ event: 'messages/partial', data: JSON.stringify([merged]) });
    } else {
      events.push(this.#finish(message));
    }
    return events;
  }

  /** The run is through: what is open is complete. */
  end(): MessagesEvent[] {
    return [...this.#open.values()].map(({ message }) => this.#finish(message));
  }

  /** An earlier attempt left these unfinished; they come anew. */
  discard(ids: readonly string[]): void {
    for (const id of ids) {
      this.#open.delete(id);
      this.#announced.delete(id);
      this.#complete.delete(id);
    }
  }

  /** A graph's steps follow one another, so a later one says that the messages of those before are complete. */
  #completeBefore(graph: string, step: number): MessagesEvent[] {
    return [...this.#open.values()]
      .filter((one) => one.graph === graph && one.step < step)
      .map(({ message }) => this.#finish(message));
  }

  #finish(message: WireMessage): MessagesEvent {
    this.#open.delete(message.id);
    this.#complete.add(message.id);
    return { event: 'messages/complete', data: JSON.stringify([message]) };
  }
}

function hasId(message: JsonObject | undefined): message is WireMessage {
  return typeof message?.id === 'string' && message.id !== '';
}

/** Which (sub-)graph a message comes from, and in which of its steps. */
function placeOf(metadata: JsonObject): { graph: string; step: number } {
  const { langgraph_checkpoint_ns: ns, langgraph_step: step } = metadata;
  const path = typeof ns === 'string' ? ns.split('|').slice(0, -1).join('|') : '';
  return { graph: path, step: typeof step === 'number' ? step : 0 };
}
