import type { RedisSaver } from '@millrace/checkpoint-redis';

/**
 * Follows what an attempt's saver stores. LangGraph starts a functional graph while its first checkpoint is still on its
 * way; had that been lost, the next attempt's tasks would be other ones, with other ids.
 */
export class StoredCheckpoints {
  readonly #writing = new Set<Promise<unknown>>();
  readonly #newest = new Map<string, string>();

  constructor(saver: RedisSaver) {
    const { put, putWrites, getTuple } = saver;
    saver.put = (config, checkpoint, ...rest) => {
      this.#newest.set(namespaceOf(config), checkpoint.id);
      return this.#follow(put.call(saver, config, checkpoint, ...rest));
    };
    saver.putWrites = (...args) => this.#follow(putWrites.apply(saver, args));
    saver.getTuple = async (config) => {
      const tuple = await getTuple.call(saver, config);
      if (tuple) this.#newest.set(namespaceOf(config), tuple.checkpoint.id);
      return tuple;
    };
  }

  /** Resolves when all that was handed to the saver so far is stored; rejects when some of it was refused. */
  async settled(): Promise<void> {
    await Promise.all(this.#writing);
  }

  /** The checkpoint from which the tasks of a checkpoint namespace are; undefined where none is kept. */
  newest(namespace: string): string | undefined {
    return this.#newest.get(namespace);
  }

  /** What was refused stays: LangGraph may not have looked at it yet. */
  #follow<T>(write: Promise<T>): Promise<T> {
    this.#writing.add(write);
    write.then(
      () => this.#writing.delete(write),
      () => undefined,
    );
    return write;
  }
}

function namespaceOf(config: { configurable?: { checkpoint_ns?: unknown } }): string {
  return String(config.configurable?.checkpoint_ns ?? '');
}
