import type { MiddlewareHandler } from 'hono';
import type { HttpEnv } from '../http/env.ts';

/** No cache keeps an answer that does not say otherwise: a heuristic of theirs would take a status for one that stays. */
export function noStore(): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    await next();
    if (!c.res.headers.has('Cache-Control')) c.header('Cache-Control', 'no-store');
  };
}
