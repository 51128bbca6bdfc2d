import { createHash, timingSafeEqual } from 'node:crypto';
import { Refusal } from '@millrace/shared/contract/error';
import type { Context, MiddlewareHandler } from 'hono';
import { type ApiKey, DEFAULT_TENANT } from '../config.ts';
import type { HttpEnv } from '../http/env.ts';
import { problem } from '../http/problem.ts';

/**
 * Says who the caller is, by `Authorization: Bearer <key>` or `X-Api-Key: <key>`; 401 when the key is none of
 * ours. Without any keys configured, everybody is tenant `default`.
 */
export function auth(keys: readonly ApiKey[]): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    if (keys.length === 0) {
      c.set('tenant', DEFAULT_TENANT);
      return next();
    }
    const given = keyOf(c);
    const tenant = given === undefined ? undefined : tenantOf(keys, given);
    if (tenant === undefined) {
      c.header(
        'WWW-Authenticate',
        `Bearer realm="millrace"${given === undefined ? '' : ', error="invalid_token"'}`,
      );
      return problem(
        c,
        new Refusal(
          'unauthorized',
          `${given === undefined ? 'No API key was given' : 'The API key is not known'}; send one as ` +
            '"Authorization: Bearer <key>" or "X-Api-Key: <key>"',
        ),
      );
    }
    c.set('tenant', tenant);
    return next();
  };
}

function keyOf(c: Context<HttpEnv>): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(c.req.header('Authorization') ?? '')?.[1];
  return bearer ?? c.req.header('X-Api-Key');
}

/** Takes as long for a wrong key as for any right one. */
function tenantOf(keys: readonly ApiKey[], given: string): string | undefined {
  const hash = createHash('sha256').update(given).digest();
  let tenant: string | undefined;
  for (const key of keys) if (timingSafeEqual(key.hash, hash)) tenant = key.tenant;
  return tenant;
}
