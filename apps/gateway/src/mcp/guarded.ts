import { Refusal } from '@millrace/shared/contract/error';
import { isRedisFault } from '@millrace/shared/redis-fault';
import { ProtocolError, ProtocolErrorCode } from '@modelcontextprotocol/server';
import { type Caller, IDEMPOTENCY_KEY } from './tool-call.ts';

/** Turns what is no answer into a JSON-RPC error that gives nothing of our insides away. */
export async function guarded<T>(caller: Caller, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw toProtocolError(caller, error);
  }
}

function toProtocolError({ logger, requestId }: Caller, error: unknown): ProtocolError {
  if (error instanceof ProtocolError) return error;
  if (error instanceof Refusal) {
    const mended = error.status === 404 || error.status === 409 || error.status === 422;
    const code = mended ? ProtocolErrorCode.InvalidParams : ProtocolErrorCode.InternalError;
    return new ProtocolError(code, error.message, {
      code: error.code,
      ...(error.retryAfterSeconds !== undefined && { retryAfterSeconds: error.retryAfterSeconds }),
    });
  }
  if (isRedisFault(error)) {
    logger.warn({ error: (error as Error).message }, 'refused: redis is not available');
    return new ProtocolError(
      ProtocolErrorCode.InternalError,
      `The storage is not available just now; try again, with the same _meta["${IDEMPOTENCY_KEY}"] to be sure that a run counts once`,
      { code: 'unavailable', retryAfterSeconds: 1 },
    );
  }
  logger.error({ err: error }, 'request failed');
  return new ProtocolError(
    ProtocolErrorCode.InternalError,
    'Something went wrong here; the log has the details under this request id',
    { code: 'internal', requestId },
  );
}
