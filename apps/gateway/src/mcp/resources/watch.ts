import { setTimeout as sleep } from 'node:timers/promises';
import type { Watch } from '@millrace/shared/event-hub';
import { isRedisFault } from '@millrace/shared/redis-fault';
import type { Services } from '../../services.ts';
import { chainStandingOf } from './chain-standing.ts';
import { parseResourceUri, type ResourceRef } from './uri.ts';

/** A nudge can be lost only with the subscription, which is noticed; this is for what we have not thought of. */
const LOOK_AGAIN_MS = 15_000;
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
 * questions; its events with each of them; a thread when a run of it is accepted or ends, and when it is gone.
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
  readonly #watch: Watch;
  #lookedAt = 0;

  constructor(services: Services, tenant: string, ref: ResourceRef, everyMs: number) {
    this.#services = services;
    this.#tenant = tenant;
    this.#ref = ref;
    this.#everyMs = everyMs;
    const { events } = services;
    this.#watch = ref.kind === 'thread' ? events.watchThread(tenant, ref.id) : events.watch(ref.id);
  }

  async *changes(seen: string, signal: AbortSignal): AsyncGenerator<void, void> {
    let missed = false;
    for (let last = seen; ; ) {
      if (!missed) await this.#nudged(signal);
      if (signal.aborted) return;
      try {
        const now = await this.look();
        missed = false;
        if (now === last) continue;
        yield;
        // It is gone, and who reads it now is told so.
        if (now === undefined) return;
        last = now;
      } catch (error) {
        if (!isRedisFault(error)) throw error;
        missed = true;
        await sleep(AFTER_FAULT_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** How it stands, as a text that is another one after each change; undefined when it is not there. */
  async look(): Promise<string | undefined> {
    await this.#watch.ready;
    this.#lookedAt = performance.now();
    return this.#ref.kind === 'thread' ? this.#lookAtThread(this.#ref.id) : this.#lookAtRun(this.#ref);
  }

  close(): void {
    this.#watch.close();
  }

  async #lookAtRun({ kind, id }: ResourceRef): Promise<string | undefined> {
    const run = await this.#services.store.read.run(this.#tenant, id);
    if (!run) return undefined;
    if (kind === 'events') return String(run.seq);
    const { closed, followedBy } = await chainStandingOf(this.#services, run);
    return [run.status, run.attempt, closed, followedBy].join(' ');
  }

  async #lookAtThread(id: string): Promise<string | undefined> {
    const { read } = this.#services.store;
    const thread = await read.thread(this.#tenant, id);
    const [newest] = thread ? await read.runsOfThread(this.#tenant, id, { limit: 1, offset: 0 }) : [];
    return thread && [thread.status, thread.updatedAt, newest?.id].join(' ');
  }

  /** Resolves when it may be worth a look again. */
  async #nudged(signal: AbortSignal): Promise<void> {
    let nudge = await this.#watch.next({ signal, timeoutMs: LOOK_AGAIN_MS });
    // Tokens come faster than anybody reads; the end is told of at once.
    while (nudge && !nudge.ended && !nudge.resubscribed && this.#ref.kind !== 'thread') {
      const left = this.#lookedAt + this.#everyMs - performance.now();
      nudge = await this.#watch.next({ signal, timeoutMs: Math.max(0, left) });
    }
  }
}
