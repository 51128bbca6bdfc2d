import type { Context } from 'hono';
import { matchedRoutes } from 'hono/route';
import type { HttpEnv } from '../http/env.ts';

/** The pattern of the route that answered, as `/message/:run_id`; ids would make a metric of every request. */
export function routePattern(c: Context<HttpEnv>): string {
  // Middleware matches as well, by patterns with a star.
  return matchedRoutes(c).findLast((route) => !route.path.includes('*'))?.path ?? 'unmatched';
}
