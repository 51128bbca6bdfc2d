import type { JsonObject } from './contract/json.ts';
import { type Keys, threadKey } from './keys.ts';
import { partitionOfThread } from './partition.ts';
import type { Retention } from './run-moves.ts';
import type { Scripts } from './scripts/index.ts';

/** Makes threads and changes what is said of them; their runs are {@link RunStore}'s. */
export class ThreadStore {
  readonly #keys: Keys;
  readonly #scripts: Scripts;
  readonly #retention: Retention;

  constructor(keys: Keys, scripts: Scripts, retention: Retention) {
    this.#keys = keys;
    this.#scripts = scripts;
    this.#retention = retention;
  }

  /**
   * @param requestHash of a request that may be repeated: the same one again is `created` again, another `conflict`
   * @returns `created`, `exists`, or `deleting` while a thread of that name is being deleted
   */
  async create(
    tenant: string,
    thread: string,
    metadata: JsonObject,
    requestHash = '',
  ): Promise<'created' | 'exists' | 'deleting' | 'conflict'> {
    return (await this.#scripts.create_thread(
      this.#keys.root(partitionOfThread(thread)),
      threadKey(tenant, thread),
      tenant,
      thread,
      JSON.stringify(metadata),
      this.#retention.threadsMs,
      requestHash,
    )) as 'created' | 'exists' | 'deleting' | 'conflict';
  }

  /** Replaces a thread's metadata. */
  async setMetadata(tenant: string, thread: string, metadata: JsonObject): Promise<void> {
    const root = this.#keys.root(partitionOfThread(thread));
    await this.#scripts.set_thread_metadata(root, threadKey(tenant, thread), JSON.stringify(metadata));
  }
}
