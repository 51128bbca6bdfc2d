import { Refusal, type RefusalCode } from '@millrace/shared/contract/error';
import { isRedisFault } from '@millrace/shared/redis-fault';
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { HttpEnv } from './env.ts';

const RETRY_AFTER_SECONDS = 1;

/** An RFC 9457 problem document. */
export interface Problem {
  /** `urn:millrace:problem:<code>` */
  type: string;
  title: string;
  status: number;
  /** What is wrong and what to do about it. */
  detail: string;
  code: RefusalCode | 'internal';
  /** Where in the request the fault lies, when it is one field. */
  field?: string;
  request_id?: string;
}

/**
 * Answers with a problem document. A {@link Refusal} says what it is; a fault of Redis is 503 `unavailable`; any
 * other error is logged with its stack and answered 500 without it.
 */
export function problem(c: Context<HttpEnv>, error: unknown): Response {
  const refusal = asRefusal(c, error);
  const { code, status } = refusal ?? { code: 'internal' as const, status: 500 };
  if (refusal?.retryAfterSeconds !== undefined) c.header('Retry-After', String(refusal.retryAfterSeconds));
  const requestId = c.get('requestId') as string | undefined;
  const document: Problem = {
    type: `urn:millrace:problem:${code}`,
    title: code === 'internal' ? 'Internal error' : sentence(code),
    status,
    detail: refusal?.message ?? 'Something went wrong here; the log has the details under this request id',
    code,
    ...(refusal?.field !== undefined && { field: refusal.field }),
    ...(requestId !== undefined && { request_id: requestId }),
  };
  return c.body(JSON.stringify(document), status as ContentfulStatusCode, {
    'Content-Type': 'application/problem+json',
    'Cache-Control': 'no-store',
  });
}

function asRefusal(c: Context<HttpEnv>, error: unknown): Refusal | undefined {
  if (error instanceof Refusal) return error;
  const logger = c.get('logger') as HttpEnv['Variables']['logger'] | undefined;
  if (isRedisFault(error)) {
    logger?.warn({ error: (error as Error).message }, 'refused: redis is not available');
    return new Refusal('unavailable', 'The storage is not available just now; try again', {
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  }
  if (error instanceof Error && error.name === 'LaterFormatError') {
    logger?.warn({ err: error }, 'refused: stored by a later release');
    return new Refusal('unavailable', `${error.message}; try again`, {
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  }
  logger?.error({ err: error }, 'request failed');
  return undefined;
}

function sentence(code: string): string {
  const words = code.replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}
