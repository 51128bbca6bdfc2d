import type { HttpBindings } from '@hono/node-server';
import { isRedisFault } from '@millrace/shared/redis-fault';
import type { Context } from 'hono';
import type { StreamMetrics } from '../metrics.ts';
import type { HttpEnv } from './env.ts';

const KEEP_ALIVE_MS = 15_000;
const RETRY_MS = 1_000;
/** What may wait in memory for a client, and an event more; the rest waits in Redis. */
const BUFFER_BYTES = 64 * 1024;

export interface SseEvent {
  /** What a client sends back as `Last-Event-ID`; absent leaves its last one as it is. */
  id?: string;
  event: string;
  /** JSON text. */
  data: string;
}

/** Events, or how to get them: the signal aborts when nobody will read them any more. */
export type EventSource = AsyncIterable<SseEvent> | ((signal: AbortSignal) => AsyncIterable<SseEvent>);

export interface SseOptions {
  /** Aborts when the gateway leaves: the stream is cut then, and the client comes back to another. */
  drain?: AbortSignal | undefined;
  headers?: Record<string, string> | undefined;
  keepAliveMs?: number;
  bufferBytes?: number;
}

/**
 * Streams events to the client as they come, no faster than it reads.
 *
 * A stream that is complete ends; one that breaks off (drain, fault) is cut without the final chunk, so that
 * no client takes a part for the whole. It may come back with the last id it saw.
 */
export function streamEvents(c: Context<HttpEnv>, events: EventSource, options: SseOptions = {}): Response {
  const headers = {
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-store',
    'X-Accel-Buffering': 'no',
    ...options.headers,
  };
  if (c.req.method === 'HEAD') return c.body(null, 200, headers);
  const outgoing = (c.env as Partial<HttpBindings> | undefined)?.outgoing;
  const onError = (error: unknown) => {
    if (!isRedisFault(error)) c.get('logger')?.error({ err: error }, 'an event stream broke off');
  };
  const stream = new EventStream(events, options, onError, c.get('streams'));
  return c.body(
    stream.readable(outgoing && { end: (text) => void outgoing.write(text, () => outgoing.destroy()) }),
    200,
    headers,
  );
}

class Broken extends Error {
  override readonly name = 'StreamBrokenOff';
}

/** A way past the ReadableStream: whatever is sent, the connection closes without its final chunk. */
interface Cut {
  end: (text: string) => void;
}

class EventStream {
  readonly #events: EventSource;
  readonly #options: SseOptions;
  readonly #onError: (error: unknown) => void;
  readonly #metrics: StreamMetrics | undefined;
  readonly #gone = new AbortController();
  #roomMade: (() => void) | undefined;

  constructor(
    events: EventSource,
    options: SseOptions,
    onError: (error: unknown) => void,
    metrics: StreamMetrics | undefined,
  ) {
    this.#events = events;
    this.#options = options;
    this.#onError = onError;
    this.#metrics = metrics;
  }

  readable(cut: Cut | undefined): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => void this.#pump(controller, cut),
        pull: () => this.#roomMade?.(),
        cancel: () => this.#gone.abort(),
      },
      { highWaterMark: this.#options.bufferBytes ?? BUFFER_BYTES, size: (chunk) => chunk.byteLength },
    );
  }

  async #pump(controller: ReadableStreamDefaultController<Uint8Array>, cut: Cut | undefined): Promise<void> {
    const { drain } = this.#options;
    const { signal } = this.#gone;
    const encoder = new TextEncoder();
    const send = (text: string) => {
      if (!signal.aborted) controller.enqueue(encoder.encode(text));
    };
    const breakOff = () => {
      if (signal.aborted) return;
      this.#gone.abort();
      if (cut) cut.end(`retry: ${RETRY_MS}\n`);
      else controller.error(new Broken('the event stream was broken off'));
    };
    this.#metrics?.open.inc();
    // No blank line follows a comment or the hint: some clients take each blank line for an event.
    send(`retry: ${RETRY_MS}\n`);
    const keepAlive = setInterval(() => {
      if ((controller.desiredSize ?? 0) > 0) send(': keep-alive\n');
    }, this.#options.keepAliveMs ?? KEEP_ALIVE_MS);
    drain?.addEventListener('abort', breakOff, { once: true });
    try {
      if (drain?.aborted) breakOff();
      const events = typeof this.#events === 'function' ? this.#events(signal) : this.#events;
      for await (const event of events) {
        if (signal.aborted) break;
        send(encode(event));
        this.#metrics?.events.inc();
        if ((controller.desiredSize ?? 0) <= 0) await this.#room();
        if (signal.aborted) break;
      }
      if (!signal.aborted) controller.close();
    } catch (error) {
      this.#onError(error);
      breakOff();
    } finally {
      this.#metrics?.open.dec();
      clearInterval(keepAlive);
      drain?.removeEventListener('abort', breakOff);
      this.#gone.abort();
    }
  }

  /** Waits until the client has read, or has gone. */
  #room(): Promise<void> {
    const { signal } = this.#gone;
    return new Promise((resolve) => {
      const done = () => {
        signal.removeEventListener('abort', done);
        this.#roomMade = undefined;
        resolve();
      };
      signal.addEventListener('abort', done, { once: true });
      this.#roomMade = done;
      if (signal.aborted) done();
    });
  }
}

function encode({ id, event, data }: SseEvent): string {
  const lines = data.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`);
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\n${lines.join('')}\n`;
}
