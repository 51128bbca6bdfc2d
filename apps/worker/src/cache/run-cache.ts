import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash } from 'node:crypto';
import type { CacheKind, CacheStore } from './cache-store.ts';

/** Whose cache it is. Nothing is shared between tenants, nor between revisions of a graph. */
export interface CacheOwner {
  tenant: string;
  graph: string;
  revision: string;
}

/** The part of the cache that one run may see. */
export class RunCache {
  readonly #store: CacheStore;
  readonly #owner: CacheOwner;

  constructor(store: CacheStore, owner: CacheOwner) {
    this.#store = store;
    this.#owner = owner;
  }

  /** @param key text of any length */
  read(kind: CacheKind, key: string): Promise<Buffer | undefined> {
    return this.#store.read(kind, this.#owner.tenant, this.#id(key));
  }

  write(kind: CacheKind, key: string, value: Buffer, ttlMs?: number): Promise<void> {
    return this.#store.write(kind, this.#owner.tenant, this.#id(key), value, ttlMs);
  }

  #id(key: string): string {
    const { graph, revision } = this.#owner;
    return createHash('sha256')
      .update(JSON.stringify([graph, revision, key]))
      .digest('hex');
  }
}

const current = new AsyncLocalStorage<RunCache>();

/**
 * Executes a run's graph with its part of the cache. One loaded graph, and its models, serve all tenants at the same time:
 * whose call it is only the context of the call tells.
 */
export function withRunCache<T>(cache: RunCache | undefined, work: () => Promise<T>): Promise<T> {
  return cache ? current.run(cache, work) : work();
}

/** That of the run which is calling; undefined outside of runs, and where nothing is cached. */
export function runCache(): RunCache | undefined {
  return current.getStore();
}
