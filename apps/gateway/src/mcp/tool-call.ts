import type { Logger } from '@millrace/shared/logger';
import {
  type CallToolResult,
  ProtocolError,
  ProtocolErrorCode,
  type ServerContext,
} from '@modelcontextprotocol/server';
import type { Services } from '../services.ts';
import { Progress } from './progress.ts';

/** In a request's `_meta`: a call that is repeated with the same key and arguments finds the run of the first. */
export const IDEMPOTENCY_KEY = 'millrace/idempotency-key';

/** Who calls, as the middleware found out. */
export interface Caller {
  tenant: string;
  requestId: string;
  logger: Logger;
}

/** What every tool works with during one call. */
export interface ToolCall {
  services: Services;
  tenant: string;
  requestId: string;
  /** Milliseconds a call waits for its run unless the tool's arguments say otherwise. */
  waitMs: number;
  /**
   * Aborts when the client has gone or the gateway leaves. That ends the waiting, never the run: a client may have
   * lost its connection without wanting the work undone, and `cancel_run` says plainly what is meant.
   */
  signal: AbortSignal;
  /** Absent when the client asked for none. */
  progress: Progress | undefined;
  /** Makes a repeated call find the run of the first one. */
  idempotencyKey: string | undefined;
}

export interface McpLimits {
  /** Milliseconds a call waits for its run unless the tool's arguments say otherwise. */
  waitMs: number;
  /** Milliseconds between two progress notifications. */
  progressMs: number;
  /** Aborts when the gateway leaves: calls that wait return what they have. */
  drain: AbortSignal;
}

/**
 * Runs a tool with what the request brings along.
 *
 * @throws ProtocolError when the request's `_meta` is not valid
 */
export async function withToolCall(
  services: Services,
  caller: Caller,
  limits: McpLimits,
  context: ServerContext,
  run: (call: ToolCall) => Promise<CallToolResult>,
): Promise<CallToolResult> {
  const meta = context.mcpReq._meta;
  const key = meta?.[IDEMPOTENCY_KEY];
  if (key !== undefined && (typeof key !== 'string' || !/^[\x20-\x7e]{1,255}$/.test(key))) {
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      `_meta["${IDEMPOTENCY_KEY}"] must be 1 to 255 printable ASCII characters`,
    );
  }
  const progress = progressOf(context, limits.progressMs);
  const waiting = new AbortController();
  const stop = () => waiting.abort();
  const signals = [context.mcpReq.signal, limits.drain];
  if (signals.some((signal) => signal.aborted)) stop();
  for (const signal of signals) signal.addEventListener('abort', stop, { once: true });
  try {
    return await run({
      services,
      tenant: caller.tenant,
      requestId: caller.requestId,
      waitMs: limits.waitMs,
      signal: waiting.signal,
      progress,
      idempotencyKey: key,
    });
  } finally {
    for (const signal of signals) signal.removeEventListener('abort', stop);
    await progress?.close();
  }
}

function progressOf(context: ServerContext, everyMs: number): Progress | undefined {
  const progressToken = context.mcpReq._meta?.progressToken;
  if (progressToken === undefined) return undefined;
  return new Progress(
    (step) => context.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, ...step } }),
    everyMs,
  );
}
