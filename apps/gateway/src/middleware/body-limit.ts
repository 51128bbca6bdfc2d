import { Refusal } from '@millrace/shared/contract/error';
import type { Context, MiddlewareHandler } from 'hono';
import { bodyLimit as honoBodyLimit } from 'hono/body-limit';
import type { HttpEnv } from '../http/env.ts';
import { problem } from '../http/problem.ts';

/** Refuses bodies of more bytes, by their stated length or, when they have none, as they come in. */
export function bodyLimit(maxBytes: number): MiddlewareHandler<HttpEnv> {
  const refuse = (c: Context<HttpEnv>) =>
    problem(
      c,
      new Refusal(
        'body_too_large',
        `The body is larger than ${maxBytes} bytes; send less, or raise MAX_BODY_BYTES`,
      ),
    );
  const asItComes = honoBodyLimit({ maxSize: maxBytes, onError: refuse });
  return (c, next) => {
    // Hono's looks at the body first, and then the server cannot pass over the rest of it: it would close a connection
    // that the client has every reason to use again.
    if (Number(c.req.header('Content-Length') ?? 0) > maxBytes) return Promise.resolve(refuse(c));
    return asItComes(c, next);
  };
}
