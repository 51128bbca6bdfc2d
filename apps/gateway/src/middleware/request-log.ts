import type { MiddlewareHandler } from 'hono';
import type { HttpEnv } from '../http/env.ts';
import { routePattern } from './route-pattern.ts';

/**
 * One line for each request, when its answer begins; neither query, headers nor bodies are in it. Requests to
 * quiet paths, which come every few seconds, are at level debug.
 */
export function requestLog(isQuiet: (path: string) => boolean): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const start = performance.now();
    await next();
    c.get('logger')[isQuiet(c.req.path) ? 'debug' : 'info'](
      {
        method: c.req.method,
        route: routePattern(c),
        status: c.res.status,
        ms: Math.round(performance.now() - start),
      },
      'request',
    );
  };
}
