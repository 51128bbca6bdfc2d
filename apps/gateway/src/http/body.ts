import { Refusal } from '@millrace/shared/contract/error';
import type { Context } from 'hono';
import type { z } from 'zod';
import { faultsOf } from './faults.ts';

/** Deeper than any input an agent needs, and far from where recursive code runs out of stack. */
const MAX_DEPTH = 128;

/**
 * The request's body as JSON in strict UTF-8, whatever its content type says (`curl -d` claims a form).
 * No body at all is `{}`.
 *
 * @throws Refusal `malformed_body` when it is no JSON, `invalid_request` naming every field that is at fault
 */
export async function readJson<T extends z.ZodType>(c: Context, schema: T): Promise<z.infer<T>> {
  const body = parse(decode(await c.req.arrayBuffer()));
  if (isDeeper(body, MAX_DEPTH)) {
    throw new Refusal('invalid_request', `The body is nested more than ${MAX_DEPTH} levels deep; flatten it`);
  }
  const result = schema.safeParse(body, { reportInput: true });
  if (result.success) return result.data;
  const faults = faultsOf(result.error);
  const field = faults[0]?.field;
  throw new Refusal('invalid_request', faults.map((one) => one.text).join('; '), field ? { field } : {});
}

function decode(bytes: ArrayBuffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Refusal('malformed_body', 'The body is not valid UTF-8; encode it as UTF-8');
  }
}

function parse(text: string): unknown {
  if (text.trim() === '') return {};
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Refusal('malformed_body', `The body is not valid JSON: ${(error as Error).message}`);
  }
}

/** Without recursion: the parser takes any depth, and the stack does not. */
function isDeeper(value: unknown, limit: number): boolean {
  let level = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > limit) return true;
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []));
  }
  return false;
}
