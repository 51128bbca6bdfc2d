import { Refusal } from '@millrace/shared/contract/error';
import { isRedisFault } from '@millrace/shared/redis-fault';
import type { Context } from 'hono';
import type { HttpEnv } from '../http/env.ts';
import { lateErrorText } from './outcome-json.ts';

/** Proxies close what is silent for long; a newline before JSON is none of the value. */
const KEEP_ALIVE_MS = 10_000;

export interface LateJsonOptions {
  /** Aborts when the gateway leaves; the answer is then that the run goes on. */
  drain: AbortSignal;
  headers?: Record<string, string>;
  /** The client went before the answer came. */
  onGone?: () => void;
  keepAliveMs?: number;
}

/**
 * Answers 200 at once and with JSON when there is some, however late, with newlines meanwhile.
 *
 * @param produce gives the JSON text, or throws when its signal aborts: nobody waits any more. What it throws
 * becomes `{"__error__": …}`, since the status is out already
 */
export function lateJson(
  c: Context<HttpEnv>,
  produce: (signal: AbortSignal) => Promise<string>,
  options: LateJsonOptions,
): Response {
  const gone = new AbortController();
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => void answer(c, controller, gone, produce, options),
    cancel: () => {
      gone.abort();
      options.onGone?.();
    },
  });
  return c.body(body, 200, {
    'Content-Type': 'application/json; charset=utf-8',
    'Cache-Control': 'no-store',
    'X-Accel-Buffering': 'no',
    ...options.headers,
  });
}

async function answer(
  c: Context<HttpEnv>,
  controller: ReadableStreamDefaultController<Uint8Array>,
  gone: AbortController,
  produce: (signal: AbortSignal) => Promise<string>,
  { drain, keepAliveMs = KEEP_ALIVE_MS }: LateJsonOptions,
): Promise<void> {
  const encoder = new TextEncoder();
  const newline = encoder.encode('\n');
  const enough = new AbortController();
  const stop = () => enough.abort();
  gone.signal.addEventListener('abort', stop, { once: true });
  drain.addEventListener('abort', stop, { once: true });
  if (drain.aborted) stop();
  controller.enqueue(newline);
  const keepAlive = setInterval(() => {
    if (!gone.signal.aborted) controller.enqueue(newline);
  }, keepAliveMs);
  let text: string;
  try {
    text = await produce(enough.signal);
  } catch (error) {
    if (gone.signal.aborted) return;
    text = drain.aborted ? leaving() : faultText(c, error);
  } finally {
    clearInterval(keepAlive);
    drain.removeEventListener('abort', stop);
  }
  if (gone.signal.aborted) return;
  controller.enqueue(encoder.encode(text));
  controller.close();
}

function leaving(): string {
  return lateErrorText('unavailable', 'This server is going away; the run goes on, join it again');
}

function faultText(c: Context<HttpEnv>, error: unknown): string {
  if (error instanceof Refusal) return lateErrorText(error.code, error.message);
  if (isRedisFault(error)) {
    return lateErrorText(
      'unavailable',
      'The storage is not available just now; the run goes on, join it again',
    );
  }
  c.get('logger')?.error({ err: error }, 'waiting for a run broke off');
  return lateErrorText('internal', 'Something went wrong here; the run goes on, join it again');
}
