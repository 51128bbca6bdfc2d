import { Refusal } from '@millrace/shared/contract/error';
import type { Context, MiddlewareHandler } from 'hono';
import { isLoopback } from '../config.ts';
import type { HttpEnv } from '../http/env.ts';
import { problem } from '../http/problem.ts';

export interface HostRules {
  /** Host names, besides the loopback ones; `*` is any. */
  allowedHosts: readonly string[];
  /** Origins as `https://example.org`, besides loopback ones; `*` is any. */
  allowedOrigins: readonly string[];
}

/**
 * Refuses requests under a host name, or from a web page, that nobody has allowed. A page of a stranger can make
 * its own name point to this machine (DNS rebinding), and the browser would let it read what it finds.
 */
export function hostCheck(rules: HostRules): MiddlewareHandler<HttpEnv> {
  return async (c, next) => {
    const host = hostOf(c);
    if (!isAllowedHost(rules, host)) {
      return problem(
        c,
        new Refusal('forbidden', `The host name "${host}" is not allowed; add it to ALLOWED_HOSTS`, {
          field: 'Host',
        }),
      );
    }
    const origin = c.req.header('Origin');
    if (origin !== undefined && !isAllowedOrigin(rules, origin)) {
      return problem(
        c,
        new Refusal('forbidden', `The origin "${origin}" is not allowed; add it to ALLOWED_ORIGINS`, {
          field: 'Origin',
        }),
      );
    }
    return next();
  };
}

function isAllowedHost(rules: Pick<HostRules, 'allowedHosts'>, host: string): boolean {
  if (rules.allowedHosts.includes('*')) return true;
  const name = nameOf(`http://${host}`);
  return (
    name !== undefined &&
    (isLoopback(name) || rules.allowedHosts.some((one) => nameOf(`http://${one}`) === name))
  );
}

export function isAllowedOrigin(rules: Pick<HostRules, 'allowedOrigins'>, origin: string): boolean {
  if (rules.allowedOrigins.includes('*')) return true;
  if (rules.allowedOrigins.includes(origin)) return true;
  const name = /^https?:\/\//.test(origin) ? nameOf(origin) : undefined;
  return name !== undefined && isLoopback(name);
}

function hostOf(c: Context<HttpEnv>): string {
  return c.req.header('Host') ?? new URL(c.req.url).host;
}

/** The host's name without a port, as URLs normalize it. */
function nameOf(url: string): string | undefined {
  try {
    const parsed = new URL(url);
    // A user's name before the host, or a path behind it, is no host.
    return parsed.username === '' && parsed.pathname === '/' ? parsed.hostname : undefined;
  } catch {
    return undefined;
  }
}
