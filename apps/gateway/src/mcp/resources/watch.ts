import { setTimeout as sleep } from 'node:timers/promises';
import type { Watch } from '@millrace/shared/event-hub';
import { isRedisFault } from '@millrace/shared/redis-fault';
import type { Services } from '../../services.ts';
import { chainStandingOf } from './chain-standing.ts';
import { parseResourceUri, type ResourceRef } from './uri.ts';

/** A nudge can be lost only with the subscription, which is noticed; this is for what we have not thought of. */
const LOOK_AGAIN_MS = 15_000;
/** Nobody tells of a run that is accepted in a thread. */
const LOOK_AT_THREAD_MS = 5_000;
const AFTER_FAULT_MS = 1_000;

/** Hears when a resource changes, over the gateway's one subscription. */
export interface ResourceWatch {
  uri: string;
  /** One turn for each change since the watch was opened, or for several that came fast; ends when the resource is gone. */
  changes: (signal: AbortSignal) => AsyncGenerator<void, void>;
  close: () => void;
}

/**
 * Opens a watch; what changes after this has resolved is not missed. A run changes with its status and with what becomes of its
 * questions; its events with each of them; a thread when a run of it is accepted (heard of within seconds), begins or ends.
 *
 * @param everyMs the least distance between two looks at what tells of itself faster
 * @returns undefined when there is no such resource, or it is another tenant's
 */
export async function watchResource(
  services: Services,
  tenant: string,
  uri: string,
  everyMs: number,
): Promise<ResourceWatch | undefined> {
  const ref = parseResourceUri(uri);
  if (!ref) return undefined;
  const watched = new WatchedResource(services, tenant, ref, everyMs);
  try {
    const seen = await watched.look();
    if (seen !== undefined) {
      return { uri, changes: (signal) => watched.changes(seen, signal), close: () => watched.close() };
    }
  } catch (error) {
    watched.close();
    throw error;
  }
  watched.close();
  return undefined;
}

class WatchedResource {
  readonly #services: Services;
  readonly #tenant: string;
  readonly #ref: ResourceRef;
  readonly #everyMs: number;
  /** The run whose events tell of it. */
  #run: { id: string; watch: Watch } | undefined;
  #lookedAt = 0;

  constructor(services: Services, tenant: string, ref: ResourceRef, everyMs: number) {
    this.#services = services;
    this.#tenant = tenant;
    this.#ref = ref;
    this.#everyMs = everyMs;
  }

  async *changes(seen: string, signal: AbortSignal): AsyncGenerator<void, void> {
    for (let last = seen; ; ) {
      await this.#nudged(signal);
      if (signal.aborted) return;
      try {
        const now = await this.look();
        if (now === last) continue;
        yield;
        // It is gone, and who reads it now is told so.
        if (now === undefined) return;
        last = now;
      } catch (error) {
        if (!isRedisFault(error)) throw error;
        await sleep(AFTER_FAULT_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** How it stands, as a text that is another one after each change; undefined when it is not there. */
  async look(): Promise<string | undefined> {
    this.#lookedAt = performance.now();
    return this.#ref.kind === 'thread' ? this.#lookAtThread(this.#ref.id) : this.#lookAtRun(this.#ref);
  }

  close(): void {
    this.#run?.watch.close();
    this.#run = undefined;
  }

  async #lookAtRun({ kind, id }: ResourceRef): Promise<string | undefined> {
    await this.#listenTo(id);
    const run = await this.#services.store.read.run(this.#tenant, id);
    if (!run) return undefined;
    if (kind === 'events') return String(run.seq);
    const { closed, followedBy } = await chainStandingOf(this.#services, run);
    return [run.status, run.attempt, closed, followedBy].join(' ');
  }

  async #lookAtThread(id: string): Promise<string | undefined> {
    const { read } = this.#services.store;
    const newest = async () => (await read.runsOfThread(this.#tenant, id, { limit: 1, offset: 0 }))[0];
    let run = await newest();
    if (run && run.id !== this.#run?.id) {
      await this.#listenTo(run.id);
      // It may have ended before the subscription.
      run = await newest();
    }
    const thread = await read.thread(this.#tenant, id);
    return thread && [thread.status, thread.updatedAt, run?.id, run?.status].join(' ');
  }

  /** Resolves when it may be worth a look again. */
  async #nudged(signal: AbortSignal): Promise<void> {
    const timeoutMs = this.#ref.kind === 'thread' ? LOOK_AT_THREAD_MS : LOOK_AGAIN_MS;
    const watch = this.#run?.watch;
    if (!watch) {
      await sleep(timeoutMs, undefined, { signal }).catch(() => undefined);
      return;
    }
    let nudge = await watch.next({ signal, timeoutMs });
    // Tokens come faster than anybody reads; the end is told of at once.
    while (nudge && !nudge.ended && !nudge.resubscribed) {
      const left = this.#lookedAt + this.#everyMs - performance.now();
      nudge = await watch.next({ signal, timeoutMs: Math.max(0, left) });
    }
  }

  async #listenTo(id: string): Promise<void> {
    if (this.#run?.id === id) return;
    this.close();
    this.#run = { id, watch: this.#services.events.watch(id) };
    await this.#run.watch.ready;
  }
}
