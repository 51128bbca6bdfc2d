import { Refusal } from '@millrace/shared/contract/error';
import type { MiddlewareHandler } from 'hono';
import { bodyLimit as honoBodyLimit } from 'hono/body-limit';
import type { HttpEnv } from '../http/env.ts';
import { problem } from '../http/problem.ts';

/** Refuses bodies of more bytes, by their stated length or, when they have none, as they come in. */
export function bodyLimit(maxBytes: number): MiddlewareHandler<HttpEnv> {
  return honoBodyLimit({
    maxSize: maxBytes,
    onError: (c) =>
      problem(
        c,
        new Refusal(
          'body_too_large',
          `The body is larger than ${maxBytes} bytes; send less, or raise MAX_BODY_BYTES`,
        ),
      ),
  });
}
