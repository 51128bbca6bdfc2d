import { readTraceContext } from '@millrace/shared/contract/trace';
import type { Logger } from '@millrace/shared/logger';
import type { Span } from '@millrace/shared/tracing';
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
  /** Of the HTTP request. */
  span?: Span;
}

/** What every tool works with during one call. */
export interface ToolCall {
  services: Services;
  tenant: string;
  requestId: string;
  span: Span;
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
 * @param tool its name, as the client gives it
 * @throws ProtocolError when the request's `_meta` is not valid
 */
export async function withToolCall(
  services: Services,
  caller: Caller,
  limits: McpLimits,
  tool: string,
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
  const span = startCall(services, caller, tool, meta);
  const progress = progressOf(context, limits.progressMs);
  const waiting = new AbortController();
  const stop = () => waiting.abort();
  const signals = [context.mcpReq.signal, limits.drain];
  if (signals.some((signal) => signal.aborted)) stop();
  for (const signal of signals) signal.addEventListener('abort', stop, { once: true });
  let failure: string | undefined = '_OTHER';
  try {
    const result = await run({
      services,
      tenant: caller.tenant,
      requestId: caller.requestId,
      span,
      waitMs: limits.waitMs,
      signal: waiting.signal,
      progress,
      idempotencyKey: key,
    });
    failure = result.isError ? 'tool_error' : undefined;
    return result;
  } finally {
    for (const signal of signals) signal.removeEventListener('abort', stop);
    span.end(failure);
    await progress?.close();
  }
}

/** By OpenTelemetry's conventions for MCP, whose messages may carry a trace of their own beside that of HTTP. */
function startCall(
  { tracing }: Services,
  { span: http }: Caller,
  tool: string,
  meta: ServerContext['mcpReq']['_meta'],
): Span {
  const own = readTraceContext(meta?.traceparent, meta?.tracestate);
  return tracing.start('tools/call', {
    kind: 'server',
    parent: own ?? http,
    link: own && http,
    attributes: {
      'mcp.method.name': 'tools/call',
      'gen_ai.operation.name': 'execute_tool',
      'gen_ai.tool.name': tool,
    },
  });
}

function progressOf(context: ServerContext, everyMs: number): Progress | undefined {
  const progressToken = context.mcpReq._meta?.progressToken;
  if (progressToken === undefined) return undefined;
  return new Progress(
    (step) => context.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, ...step } }),
    everyMs,
  );
}
