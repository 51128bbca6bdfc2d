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
  #last: NotedCheckpoint | undefined;
  #describing: Promise<unknown> = Promise.resolve();

  constructor(saver: RedisSaver, thread: string) {
    this.#saver = saver;
    this.#thread = thread;
  }

  /** The newest checkpoint of this attempt. */
  get last(): NotedCheckpoint | undefined {
    return this.#last;
  }

  /** Takes the payload of LangGraph's `checkpoints` stream mode. */
  note(payload: unknown): void {
    const { config, tasks, values } = payload as {
      config?: { configurable?: { checkpoint_id?: string } };
      tasks?: { id: string; name: unknown }[];
      values?: unknown;
    };
    const checkpointId = config?.configurable?.checkpoint_id;
    if (checkpointId === undefined || !tasks) return;
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
    const { checkpointId, tasks, values } = checkpoint;
    const config = {
      configurable: { thread_id: this.#thread, checkpoint_ns: '', checkpoint_id: checkpointId },
    };
    const described = this.#saver.describe(config, { tasks, channels: Object.keys(values) });
    this.#describing = Promise.all([this.#describing, described]);
    // Reported by close(); until then an early failure must not count as unhandled.
    this.#describing.catch(() => undefined);
  }
}
