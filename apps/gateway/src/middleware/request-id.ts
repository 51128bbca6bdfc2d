import { randomUUID } from 'node:crypto';
import type { Logger } from '@millrace/shared/logger';
import type { MiddlewareHandler } from 'hono';
import type { HttpEnv } from '../http/env.ts';

/** What may go into a log line and a header as it is. */
const SANE = /^[\w.:=-]{1,128}$/;

/** Names the request: by the caller's `X-Request-Id` when it is sane, else by a new one. Answers and logs carry it. */
export function requestId(logger: Logger): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const given = c.req.header('X-Request-Id');
    const id = given !== undefined && SANE.test(given) ? given : randomUUID();
    c.set('requestId', id);
    c.set('logger', logger.child({ requestId: id }));
    c.header('X-Request-Id', id);
    await next();
  };
}
