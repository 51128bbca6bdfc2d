import { readTraceContext } from '@millrace/shared/contract/trace';
import type { Tracing } from '@millrace/shared/tracing';
import type { MiddlewareHandler } from 'hono';
import type { HttpEnv } from '../http/env.ts';
import { routePattern } from './route-pattern.ts';

/** A span for each request, in the caller's trace when it sends a `traceparent`. A stream goes on after its end. */
export function httpTracing(tracing: Tracing): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const { method } = c.req;
    const span = tracing.start(method, {
      kind: 'server',
      parent: readTraceContext(c.req.header('traceparent'), c.req.header('tracestate')),
      attributes: {
        'http.request.method': method,
        'url.path': c.req.path,
        'url.scheme': new URL(c.req.url).protocol.slice(0, -1),
      },
    });
    c.set('span', span);
    await tracing.within(span, next);
    const route = routePattern(c);
    const { status } = c.res;
    span.rename(`${method} ${route}`);
    span.set({ 'http.route': route, 'http.response.status_code': status });
    span.end(status >= 500 ? String(status) : undefined);
  };
}
