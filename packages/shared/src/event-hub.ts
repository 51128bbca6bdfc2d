import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Keys } from './keys.ts';
import type { Logger } from './logger.ts';
import type { RedisConnection } from './redis.ts';

/** How long a silent subscription is believed. */
const PING_INTERVAL_MS = 5_000;

export interface Nudge {
  /** The run's `end` event is in its stream. */
  ended: boolean;
  /** The subscription was lost for a while: what a watcher knows must be checked again. */
  resubscribed: boolean;
}

/** Hears of one run's new events, or of what becomes of a thread. */
export interface Watch {
  /** Resolves once nothing that happens from then on is missed. */
  ready: Promise<void>;
  /** What happened since the last call; waits for something to happen. Undefined when aborted or timed out. */
  next(options: { signal?: AbortSignal | undefined; timeoutMs: number }): Promise<Nudge | undefined>;
  close(): void;
}

/**
 * One subscriber connection for all clients of a process. It hears that there are new events, never the events
 * themselves: a client that is slow costs its own buffer, not the connection.
 */
export class EventHub {
  readonly #subscriber: Redis;
  readonly #publisher: RedisConnection;
  readonly #keys: Keys;
  readonly #watchers = new Map<string, Set<WatchState>>();
  readonly #pingChannel: string;
  readonly #timer: NodeJS.Timeout;
  #heard = true;

  /** @param subscriber of role `subscriber`, handed over: closed with the hub */
  constructor(subscriber: Redis, publisher: RedisConnection, keys: Keys, logger: Logger) {
    this.#subscriber = subscriber;
    this.#publisher = publisher;
    this.#keys = keys;
    this.#pingChannel = keys.pingChannel(randomUUID());
    subscriber.on('message', (channel: string, message: string) => this.#onMessage(channel, message));
    subscriber.on('ready', () => this.#onReady());
    void subscriber.subscribe(this.#pingChannel).catch(() => undefined);
    this.#timer = setInterval(() => this.#ping(logger), PING_INTERVAL_MS);
  }

  watch(runId: string): Watch {
    return this.#watch(this.#keys.eventChannel(runId));
  }

  watchThread(tenant: string, thread: string): Watch {
    return this.#watch(this.#keys.threadChannel(tenant, thread));
  }

  #watch(channel: string): Watch {
    const state = new WatchState();
    let group = this.#watchers.get(channel);
    const first = !group;
    if (!group) {
      group = new Set();
      this.#watchers.set(channel, group);
    }
    group.add(state);
    // ioredis sends commands in order, so a second watcher's subscription is confirmed after the first one's.
    const ready = first ? this.#subscriber.subscribe(channel) : this.#subscriber.ping();
    return {
      ready: ready.then(() => undefined),
      next: (options) => state.next(options),
      close: () => this.#unwatch(channel, state),
    };
  }

  /** How many runs and threads are watched. */
  get size(): number {
    return this.#watchers.size;
  }

  close(): void {
    clearInterval(this.#timer);
    for (const group of this.#watchers.values()) for (const state of group) state.close();
    this.#watchers.clear();
    this.#subscriber.disconnect();
  }

  #unwatch(channel: string, state: WatchState): void {
    state.close();
    const group = this.#watchers.get(channel);
    if (!group?.delete(state) || group.size > 0) return;
    this.#watchers.delete(channel);
    void this.#subscriber.unsubscribe(channel).catch(() => undefined);
  }

  #onMessage(channel: string, message: string): void {
    this.#heard = true;
    for (const state of this.#watchers.get(channel) ?? []) {
      state.push({ ended: message.endsWith('!'), resubscribed: false });
    }
  }

  /** ioredis subscribes again by itself, but what was published meanwhile is gone. */
  #onReady(): void {
    // Answered after the subscriptions that ioredis has sent again, so nothing falls between.
    void this.#subscriber.ping().then(
      () => {
        for (const group of this.#watchers.values()) {
          for (const state of group) state.push({ ended: false, resubscribed: true });
        }
      },
      () => undefined,
    );
  }

  /** A subscription can die without a closed socket; only a message that comes round proves it alive. */
  #ping(logger: Logger): void {
    if (!this.#heard && this.#subscriber.status === 'ready') {
      logger.warn('the event subscription went silent; reconnecting');
      this.#subscriber.disconnect(true);
    }
    this.#heard = false;
    void this.#publisher.publish(this.#pingChannel, '').catch(() => undefined);
  }
}

class WatchState {
  #pending: Nudge | undefined;
  #wake: (() => void) | undefined;
  #closed = false;

  push(nudge: Nudge): void {
    this.#pending = {
      ended: nudge.ended || (this.#pending?.ended ?? false),
      resubscribed: nudge.resubscribed || (this.#pending?.resubscribed ?? false),
    };
    this.#wake?.();
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  async next(options: { signal?: AbortSignal | undefined; timeoutMs: number }): Promise<Nudge | undefined> {
    if (!this.#pending && !this.#closed && !options.signal?.aborted && options.timeoutMs > 0) {
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          options.signal?.removeEventListener('abort', done);
          this.#wake = undefined;
          resolve();
        };
        const timer = setTimeout(done, options.timeoutMs);
        options.signal?.addEventListener('abort', done, { once: true });
        this.#wake = done;
      });
    }
    const nudge = this.#pending;
    this.#pending = undefined;
    return nudge;
  }
}
