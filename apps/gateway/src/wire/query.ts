import { Refusal } from '@millrace/shared/contract/error';
import { type StreamMode, streamModes } from '@millrace/shared/contract/stream-mode';
import type { Context } from 'hono';
import { z } from 'zod';
import { faultsOf } from '../http/faults.ts';
import { limit, offset } from './fields.ts';

const isStreamMode = (text: string): text is StreamMode => (streamModes as readonly string[]).includes(text);

/** `1`, `true`, `yes` and their opposites; the SDK sends the digits. */
export const flag = z
  .enum(['1', 'true', 'yes', '0', 'false', 'no', ''])
  .transform((text) => text === '1' || text === 'true' || text === 'yes');

const count = z.string().regex(/^\d{1,9}$/, 'give a whole number');

/** The part of a list that a query asks for. */
export const page = {
  limit: count.transform(Number).pipe(limit).default(10),
  offset: count.transform(Number).pipe(offset).default(0),
};

/**
 * A request's query parameters; of one that is given twice, the first.
 *
 * @throws Refusal `invalid_request` naming every parameter that is at fault
 */
export function readQuery<T extends z.ZodType>(c: Context, schema: T): z.infer<T> {
  return check(schema, c.req.query());
}

/**
 * A path parameter.
 *
 * @throws Refusal `invalid_request`
 */
export function readParam<T extends z.ZodType>(c: Context, name: string, schema: T): z.infer<T> {
  const result = check(z.object({ [name]: schema }), { [name]: c.req.param(name) });
  return result[name] as z.infer<T>;
}

/**
 * The modes a client wants of a run's stream; undefined when it does not say.
 *
 * @throws Refusal `invalid_request`
 */
export function readStreamModes(c: Context): StreamMode[] | undefined {
  const modes = (c.req.queries('stream_mode') ?? []).flatMap((text) => text.split(',')).filter((one) => one);
  const unknown = modes.find((one) => !isStreamMode(one));
  if (unknown !== undefined) {
    throw new Refusal(
      'invalid_request',
      `There is no stream mode "${unknown}"; there are: ${streamModes.join(', ')}`,
      { field: 'stream_mode' },
    );
  }
  return modes.length === 0 ? undefined : modes.filter(isStreamMode);
}

const MAX_KEY = 255;

/**
 * The `Idempotency-Key` header.
 *
 * @throws Refusal `invalid_request` when it is too long
 */
export function readIdempotencyKey(c: Context): string | undefined {
  const key = c.req.header('Idempotency-Key');
  if (key === undefined || key === '') return undefined;
  if (key.length > MAX_KEY) {
    throw new Refusal('invalid_request', `Idempotency-Key: give at most ${MAX_KEY} characters`, {
      field: 'Idempotency-Key',
    });
  }
  return key;
}

function check<T extends z.ZodType>(schema: T, value: unknown): z.infer<T> {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const faults = faultsOf(result.error);
  const field = faults[0]?.field;
  throw new Refusal('invalid_request', faults.map((one) => one.text).join('; '), field ? { field } : {});
}
