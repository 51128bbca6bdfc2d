import type { MiddlewareHandler } from 'hono';
import { cors as honoCors } from 'hono/cors';
import type { HttpEnv } from '../http/env.ts';
import { type HostRules, isAllowedOrigin } from './host-check.ts';

/** Lets pages of allowed origins read the answers. */
export function cors(rules: Pick<HostRules, 'allowedOrigins'>): MiddlewareHandler<HttpEnv> {
  return honoCors({
    origin: (origin) => (isAllowedOrigin(rules, origin) ? origin : null),
    exposeHeaders: [
      'Content-Location',
      'ETag',
      'Location',
      'Mcp-Protocol-Version',
      'Mcp-Session-Id',
      'Preference-Applied',
      'Retry-After',
      'WWW-Authenticate',
      'X-Request-Id',
    ],
    maxAge: 600,
  });
}
