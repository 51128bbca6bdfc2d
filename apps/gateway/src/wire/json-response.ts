import type { Context } from 'hono';
import { conditionalJson } from '../http/conditional.ts';

/**
 * Answers with JSON text that is written already. One that was read with GET has an `ETag`, and a cache must ask each
 * time: even an old state can change, as a fork may add to its checkpoint, and a rollback take it away.
 */
export function jsonText(c: Context, text: string, headers: Record<string, string> = {}): Response {
  // Hono has it that HEAD is GET.
  if (c.req.method === 'GET' || c.req.method === 'HEAD') return conditionalJson(c, text, { headers });
  return c.body(text, 200, { 'Content-Type': 'application/json; charset=utf-8', ...headers });
}

/** The fields of an object that a caller asked for; all of them when it did not say. */
export function pick<T extends object>(whole: T, fields: readonly string[] | undefined): Partial<T> {
  if (!fields || fields.length === 0) return whole;
  return Object.fromEntries(Object.entries(whole).filter(([name]) => fields.includes(name))) as Partial<T>;
}
