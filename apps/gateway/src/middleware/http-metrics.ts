import type { HttpMetrics } from '@millrace/shared/metrics';
import type { MiddlewareHandler } from 'hono';
import type { HttpEnv } from '../http/env.ts';
import { routePattern } from './route-pattern.ts';

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** Counts and times requests by method, route pattern and status. */
export function httpMetrics(metrics: HttpMetrics): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const start = performance.now();
    await next();
    const labels = {
      // A caller may make up methods, and each would be a new series.
      method: METHODS.has(c.req.method) ? c.req.method : 'other',
      route: routePattern(c),
      status: String(c.res.status),
    };
    metrics.requests.inc(labels);
    metrics.duration.observe(labels, (performance.now() - start) / 1000);
  };
}
