import type { RunEvent } from './contract/event.ts';
import { eventId } from './contract/event.ts';
import { hasEnded, type RunStatus } from './contract/run.ts';
import type { EventHub, Watch } from './event-hub.ts';
import type { Keys } from './keys.ts';
import { partitionOfRun } from './partition.ts';
import type { RedisConnection } from './redis.ts';

/** Most events asked for at once; a reader begins with few, since nobody knows yet how large they are. */
const PAGE = 64;
const FIRST_PAGE = 8;
/** A reader whose client is slow holds no more than this, or one event. */
const PAGE_BYTES = 64 * 1024;

/** A nudge can be lost only with the connection, which is noticed; this is for what we have not thought of. */
const LOOK_AGAIN_MS = 15_000;

/**
 * A page of a run's events.
 *
 * @param after number of the last event not wanted; 0 begins at the beginning
 */
export async function readEvents(
  redis: RedisConnection,
  keys: Keys,
  runId: string,
  after: number,
  count: number,
): Promise<RunEvent[]> {
  const partition = partitionOfRun(runId);
  if (partition === undefined) return [];
  const key = keys.events(keys.root(partition), runId);
  const entries = await redis.xrange(key, `(${after}-0`, '+', 'COUNT', count);
  return entries.map(toEvent);
}

function toEvent([id, [, name = '', , data = '', , token = '0']]: [string, string[]]): RunEvent {
  return { seq: Number.parseInt(id, 10), token: Number(token), name, data };
}

/** Reads runs' streams from Redis, from any process. */
export class EventReader {
  readonly #redis: RedisConnection;
  readonly #keys: Keys;
  readonly #hub: EventHub;

  constructor(redis: RedisConnection, keys: Keys, hub: EventHub) {
    this.#redis = redis;
    this.#keys = keys;
    this.#hub = hub;
  }

  /**
   * A run's events after the given one, then each as it comes, up to and with `end`.
   *
   * When what follows `after` cannot be given (trimmed, expired, or rolled back with Redis), a `gap` event comes
   * first, with number 0, and then all that is still there. Ends quietly when `signal` aborts or the run expires.
   */
  async *follow(
    runId: string,
    options: { after?: { seq: number; token: number } | undefined; signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<RunEvent, void> {
    const { signal } = options;
    const root = this.#root(runId);
    if (!root) return;
    const watch = this.#hub.watch(runId);
    try {
      await watch.ready;
      let last = options.after ?? { seq: 0, token: 0 };
      let check = options.after !== undefined;
      let waited = false;
      let count = FIRST_PAGE;
      while (!signal?.aborted) {
        if (check && last.seq > 0 && !(await this.#stillThere(runId, last))) {
          const [first] = await this.#page(runId, 0, 1);
          yield gap(last, first?.seq ?? 1);
          last = { seq: first ? first.seq - 1 : 0, token: 0 };
        }
        check = false;
        const { page, more, next } = await this.#boundedPage(runId, last.seq, count);
        count = next;
        for (const event of page) {
          if (signal?.aborted) return;
          if (event.seq !== last.seq + 1) yield gap(last, event.seq);
          yield event;
          last = event;
          if (event.name === 'end') return;
        }
        if (more) continue;
        // A client that comes back with the id of the end has had it all.
        if (page.length === 0 && options.after && !waited && (await this.#isOver(root, runId, last.seq)))
          return;
        waited = true;
        const nudge = await watch.next({ signal, timeoutMs: LOOK_AGAIN_MS });
        check = nudge?.resubscribed ?? false;
        if (!nudge && !signal?.aborted && (await this.#isOver(root, runId, last.seq))) return;
      }
    } finally {
      watch.close();
    }
  }

  /** A run's newest events, the newest first. */
  async newest(runId: string, count: number): Promise<RunEvent[]> {
    const root = this.#root(runId);
    if (!root) return [];
    return (await this.#redis.xrevrange(this.#keys.events(root, runId), '+', '-', 'COUNT', count)).map(
      toEvent,
    );
  }

  /** Hears that there are new events of a run, or that what it asked is not open any more; never which. */
  watch(runId: string): Watch {
    return this.#hub.watch(runId);
  }

  /** Hears that a thread was used, that a run of it has ended or what it asked was closed, or that it is gone. */
  watchThread(tenant: string, thread: string): Watch {
    return this.#hub.watchThread(tenant, thread);
  }

  /**
   * A run's events after the given one that are there by now, without waiting.
   *
   * @param options.maxBytes stop once there are more than that, or one event
   * @returns also whether there are more
   */
  async soFar(
    runId: string,
    options: { after?: { seq: number; token: number } | undefined; maxBytes: number },
  ): Promise<{ events: RunEvent[]; more: boolean }> {
    const { after, maxBytes } = options;
    const events: RunEvent[] = [];
    let last = after?.seq ?? 0;
    if (after && last > 0 && !(await this.#stillThere(runId, after))) {
      const [first] = await this.#page(runId, 0, 1);
      events.push(gap(after, first?.seq ?? 1));
      last = 0;
    }
    let bytes = 0;
    let count = FIRST_PAGE;
    for (;;) {
      const { page, more, next } = await this.#boundedPage(runId, last, count);
      for (const event of page) {
        if (events.length > 0 && bytes + event.data.length > maxBytes) return { events, more: true };
        events.push(event);
        bytes += event.data.length;
        last = event.seq;
      }
      if (!more) return { events, more: false };
      count = next;
    }
  }

  /**
   * Waits until a run has ended, `timeoutMs` at most.
   *
   * @returns its status then; undefined when there is no such run
   */
  async waitForEnd(
    runId: string,
    options: { timeoutMs: number; signal?: AbortSignal | undefined },
  ): Promise<RunStatus | undefined> {
    const root = this.#root(runId);
    if (!root) return undefined;
    const deadline = Date.now() + options.timeoutMs;
    const watch = this.#hub.watch(runId);
    try {
      await atMost(watch.ready, options);
      for (;;) {
        const status = (await this.#redis.hget(this.#keys.run(root, runId), 'status')) as RunStatus | null;
        if (!status) return undefined;
        const left = deadline - Date.now();
        if (hasEnded(status) || left <= 0 || options.signal?.aborted) return status;
        let nudge = await watch.next({ signal: options.signal, timeoutMs: Math.min(left, LOOK_AGAIN_MS) });
        while (nudge && !nudge.ended && !nudge.resubscribed) {
          nudge = await watch.next({
            signal: options.signal,
            timeoutMs: Math.min(deadline - Date.now(), LOOK_AGAIN_MS),
          });
        }
      }
    } finally {
      watch.close();
    }
  }

  #root(runId: string): string | undefined {
    const partition = partitionOfRun(runId);
    return partition === undefined ? undefined : this.#keys.root(partition);
  }

  #page(runId: string, after: number, count: number): Promise<RunEvent[]> {
    return readEvents(this.#redis, this.#keys, runId, after, count);
  }

  /** As many of the next events as may be held, and how many to ask for next; those left out are read again. */
  async #boundedPage(
    runId: string,
    after: number,
    count: number,
  ): Promise<{ page: RunEvent[]; more: boolean; next: number }> {
    const found = await this.#page(runId, after, count);
    let bytes = 0;
    const page = found.filter(({ data }, i) => {
      bytes += data.length;
      return i === 0 || bytes <= PAGE_BYTES;
    });
    const fit = bytes === 0 ? count : Math.floor((found.length * PAGE_BYTES) / bytes);
    return {
      page,
      more: found.length === count || page.length < found.length,
      next: Math.max(1, Math.min(PAGE, fit, 4 * count)),
    };
  }

  async #stillThere(runId: string, event: { seq: number; token: number }): Promise<boolean> {
    const [found] = await this.#page(runId, event.seq - 1, 1);
    return found?.seq === event.seq && found.token === event.token;
  }

  /** Whether no event will come: the run is gone, or its `end` is behind us. */
  async #isOver(root: string, runId: string, last: number): Promise<boolean> {
    const [status, newest] = await Promise.all([
      this.#redis.hget(this.#keys.run(root, runId), 'status'),
      this.#page(runId, last, 1),
    ]);
    return newest.length === 0 && (!status || hasEnded(status as RunStatus));
  }
}

/** Waits for something, but no longer than the caller does: a subscription may be down for as long as it likes. */
function atMost(
  work: Promise<void>,
  { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal | undefined },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const enough = () => resolve();
    const timer = setTimeout(enough, Math.min(timeoutMs, LOOK_AGAIN_MS));
    signal?.addEventListener('abort', enough, { once: true });
    if (signal?.aborted) enough();
    work.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', enough);
    });
  });
}

function gap(after: { seq: number; token: number }, next: number): RunEvent {
  return { seq: 0, token: 0, name: 'gap', data: JSON.stringify({ after: eventId(after), next }) };
}
