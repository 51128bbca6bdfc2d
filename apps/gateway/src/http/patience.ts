import type { Context } from 'hono';
import type { HttpEnv } from './env.ts';

/**
 * Does something that waits with a signal that aborts when the caller has gone away or the gateway is leaving:
 * then there is nobody to wait for.
 */
export async function whileWanted<T>(
  c: Context<HttpEnv>,
  drain: AbortSignal,
  wait: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const enough = new AbortController();
  const stop = () => enough.abort();
  const signals = [c.req.raw.signal, drain];
  // Not AbortSignal.any: what hangs on a signal as long-lived as the drain must be taken off again.
  for (const signal of signals) {
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
  }
  try {
    return await wait(enough.signal);
  } finally {
    for (const signal of signals) signal.removeEventListener('abort', stop);
  }
}
