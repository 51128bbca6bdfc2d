import { type Keys, threadKey } from './keys.ts';
import { partitionOfThread } from './partition.ts';
import type { Lease } from './run-moves.ts';
import type { Scripts } from './scripts/index.ts';

/**
 * How long a lease, here and at the checkpoint store, outlives a thread that nobody has used for its time. Whoever held
 * one then has been forgotten for longer.
 */
export const EXPIRED_FENCE_MS = 3600_000;

/**
 * Threads whose time is over. They have no run, so nobody needs to execute one to remove them: whoever finds them takes
 * the lease itself.
 */
export class ThreadExpiry {
  readonly #keys: Keys;
  readonly #scripts: Scripts;

  constructor(keys: Keys, scripts: Scripts) {
    this.#keys = keys;
    this.#scripts = scripts;
  }

  /**
   * Takes the lease; from then on the thread is gone for callers. The same nonce may take it again, with a token that is
   * high enough for the checkpoint store.
   *
   * @param storeToken that stands at the checkpoint store
   * @returns undefined when the thread is in use, wanted again, gone, or somebody else removes it
   */
  async begin(tenant: string, thread: string, nonce: string, storeToken: number): Promise<Lease | undefined> {
    const root = this.#keys.root(partitionOfThread(thread));
    const token = await this.#scripts.begin_expiry(root, threadKey(tenant, thread), nonce, storeToken);
    return token === null ? undefined : { token: Number(token), nonce };
  }

  /** Removes the thread and its runs, once its checkpoints are gone. @returns false when the lease is somebody else's */
  async end(tenant: string, thread: string, lease: Lease): Promise<boolean> {
    const root = this.#keys.root(partitionOfThread(thread));
    const key = threadKey(tenant, thread);
    const ended = await this.#scripts.end_expiry(
      root,
      key,
      tenant,
      lease.token,
      lease.nonce,
      EXPIRED_FENCE_MS,
    );
    return ended === 1;
  }
}
