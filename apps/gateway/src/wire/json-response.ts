import type { Context } from 'hono';

/** Answers with JSON text that is written already. */
export function jsonText(c: Context, text: string, headers: Record<string, string> = {}): Response {
  return c.body(text, 200, { 'Content-Type': 'application/json; charset=utf-8', ...headers });
}

/** The fields of an object that a caller asked for; all of them when it did not say. */
export function pick<T extends object>(whole: T, fields: readonly string[] | undefined): Partial<T> {
  if (!fields || fields.length === 0) return whole;
  return Object.fromEntries(Object.entries(whole).filter(([name]) => fields.includes(name))) as Partial<T>;
}
