import { createHash } from 'node:crypto';
import type { Context } from 'hono';

/**
 * Seconds for which a client's own cache may give a final answer again without asking. Short, because a thread can be deleted, and is
 * gone then: who keeps polling learns so within a minute.
 */
const FINAL_SECONDS = 60;

export interface ConditionalOptions {
  /** It will not change any more; otherwise a cache must ask each time. */
  final?: boolean;
  headers?: Record<string, string>;
}

/**
 * Answers a GET with JSON text and an `ETag`, or 304 when the client has just that.
 *
 * Private, and by credentials: what belongs to one tenant is for no shared cache, and not for the same client under
 * another key. (Hono's own middleware would read whole streams to tag them.)
 */
export function conditionalJson(c: Context, text: string, options: ConditionalOptions = {}): Response {
  const etag = etagOf(text);
  c.header('ETag', etag);
  c.header('Cache-Control', options.final ? `private, max-age=${FINAL_SECONDS}` : 'private, no-cache');
  c.header('Vary', 'Authorization, X-Api-Key', { append: true });
  if (matchesEtag(c.req.header('If-None-Match'), etag)) return c.body(null, 304, options.headers);
  return c.body(text, 200, { 'Content-Type': 'application/json; charset=utf-8', ...options.headers });
}

/** An entity tag for a body. */
function etagOf(body: string): string {
  return `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
}

/** Whether an `If-None-Match` header names the tag. */
function matchesEtag(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  if (header.trim() === '*') return true;
  return header.split(',').some((one) => one.trim().replace(/^W\//, '') === etag);
}
