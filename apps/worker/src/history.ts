import type { RedisSaver } from '@millrace/checkpoint-redis';

/** A checkpoint of the root graph, as LangGraph announced it. */
export interface NotedCheckpoint {
  checkpointId: string;
  /** What runs next; empty when the graph is through. */
  tasks: { id: string; name: string }[];
  values: Record<string, unknown>;
}

/**
 * Describes each checkpoint for readers that have no graph code: what runs next, and which channels are the state.
 */
export class History {
  readonly #saver: RedisSaver;
  readonly #thread: string;
  readonly #onStored: (checkpointId: string) => void;
  #last: NotedCheckpoint | undefined;
  #first: number | undefined;
  #describing: Promise<unknown> = Promise.resolve();

  /** @param onStored told of each checkpoint that is sure to be stored */
  constructor(saver: RedisSaver, thread: string, onStored: (checkpointId: string) => void) {
    this.#saver = saver;
    this.#thread = thread;
    this.#onStored = onStored;
  }

  /** The newest checkpoint of this attempt. */
  get last(): NotedCheckpoint | undefined {
    return this.#last;
  }

  /** LangGraph's step of the first checkpoint of this attempt. */
  get firstStep(): number | undefined {
    return this.#first;
  }

  /** Takes the payload of LangGraph's `checkpoints` stream mode. */
  note(payload: unknown): void {
    const { config, metadata, tasks, values } = payload as {
      metadata?: { step?: number };
      config?: { configurable?: { checkpoint_id?: string } };
      tasks?: { id: string; name: unknown }[];
      values?: unknown;
    };
    const checkpointId = config?.configurable?.checkpoint_id;
    if (checkpointId === undefined || !tasks) return;
    this.#first ??= metadata?.step;
    // LangGraph may announce a checkpoint before it is stored, but never its successor.
    this.#describe(this.#last);
    this.#last = {
      checkpointId,
      tasks: tasks.map(({ id, name }) => ({ id, name: String(name) })),
      values:
        typeof values === 'object' && values !== null
          ? (values as Record<string, unknown>)
          : { value: values },
    };
  }

  /** Describes the last one too. Rejects when a description could not be stored. */
  async close(): Promise<void> {
    this.#describe(this.#last);
    await this.#describing;
  }

  #describe(checkpoint: NotedCheckpoint | undefined): void {
    if (!checkpoint) return;
    const described = describeCheckpoint(this.#saver, this.#thread, checkpoint).then((isStored) => {
      if (isStored) this.#onStored(checkpoint.checkpointId);
    });
    this.#describing = Promise.all([this.#describing, described]);
    // Reported by close(); until then an early failure must not count as unhandled.
    this.#describing.catch(() => undefined);
  }
}

export function describeCheckpoint(
  saver: RedisSaver,
  thread: string,
  { checkpointId, tasks, values }: NotedCheckpoint,
): Promise<boolean> {
  return saver.describe(
    { configurable: { thread_id: thread, checkpoint_ns: '', checkpoint_id: checkpointId } },
    {
      tasks: tasks.map(({ id, name }) => ({ id, name })),
      channels: Object.keys(values),
      defaults: empties(values),
    },
  );
}

/** The values that can be a channel's default as nobody wrote it: too small to be worth asking which are stored. */
function empties(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => isEmpty(value)));
}

function isEmpty(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return !value && value !== undefined;
  return Array.isArray(value)
    ? value.length === 0
    : Object.getPrototypeOf(value) === Object.prototype && Object.keys(value).length === 0;
}
