import type { Context } from 'hono';
import type { HttpEnv } from './env.ts';

/**
 * Does something that waits with a signal that aborts when the caller has gone away or the gateway is leaving:
 * then there is nobody to wait for.
 */
export function whileWanted<T>(
  c: Context<HttpEnv>,
  drain: AbortSignal,
  wait: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return untilAny([c.req.raw.signal, drain], wait);
}

/** Does something that waits with a signal that aborts as soon as one of the given ones does. */
export async function untilAny<T>(
  signals: AbortSignal[],
  wait: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const any = anyOf(signals);
  try {
    return await wait(any.signal);
  } finally {
    any.release();
  }
}

/** A signal that aborts as soon as one of the given ones does, until it is released. */
export function anyOf(signals: AbortSignal[]): { signal: AbortSignal; release: () => void } {
  const enough = new AbortController();
  const stop = () => enough.abort();
  // Not AbortSignal.any: what hangs on a signal as long-lived as the drain must be taken off again.
  for (const signal of signals) {
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
  }
  return {
    signal: enough.signal,
    release: () => {
      for (const signal of signals) signal.removeEventListener('abort', stop);
    },
  };
}
