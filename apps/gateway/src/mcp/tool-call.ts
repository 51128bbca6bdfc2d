import { readTraceContext } from '@millrace/shared/contract/trace';
import type { Logger } from '@millrace/shared/logger';
import type { Span } from '@millrace/shared/tracing';
import {
  type CallToolResult,
  type ClientCapabilities,
  type InputRequiredResult,
  ProtocolError,
  ProtocolErrorCode,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { untilAny } from '../http/patience.ts';
import type { Services } from '../services.ts';
import type { ArgumentCheck } from './argument-check.ts';
import { Progress } from './progress.ts';
import type { RequestState, RequestStates } from './request-state.ts';

/** In a request's `_meta`: a call that is repeated with the same key and arguments finds the run of the first. */
export const IDEMPOTENCY_KEY = 'millrace/idempotency-key';

/** Who calls, as the middleware found out. */
export interface Caller {
  tenant: string;
  requestId: string;
  logger: Logger;
  /** Of the HTTP request. */
  span?: Span;
  /** Of the HTTP request. */
  headers: Headers;
  /** Set when headers and body turned out to disagree, which has an HTTP status that the SDK leaves to its own checks. */
  disagrees?: boolean;
}

/** What every tool works with during one call. */
export interface ToolCall {
  services: Services;
  tenant: string;
  requestId: string;
  span: Span;
  /** Milliseconds a call waits for its run unless the tool's arguments say otherwise. */
  waitMs: number;
  /** Milliseconds a call waits for its run before that is handed over as a task. */
  taskAfterMs: number;
  /**
   * Aborts when the client has gone or the gateway leaves. That ends the waiting; whether it ends the run as well, see
   * `isWithdrawn`.
   */
  signal: AbortSignal;
  /** Absent when the client asked for none. */
  progress: Progress | undefined;
  /** Makes a repeated call find the run of the first one. */
  idempotencyKey: string | undefined;
  /**
   * Whether a run may be handed over as a task: the client takes one, and it is for us to decide; it asked for one, as of
   * revision 2025-11-25; or it knows nothing of tasks.
   */
  task: 'taken' | 'asked for' | 'unknown';
  /** Whether it speaks 2026-07-28. */
  isModern: boolean;
  /** Whether the client answers questions that come as the result of its call. */
  elicits: boolean;
  /** What the client brings along of an earlier call that asked something. */
  state: RequestState | undefined;
  responses: Record<string, unknown>;
  /** Whether the client has closed the call, and its revision means by that that it is taken back. */
  isWithdrawn: () => boolean;
  /** Signs what the client is to bring along. */
  states: RequestStates;
}

/** What a tool has done, or what it must know before. */
export type ToolResult = CallToolResult | InputRequiredResult;

/** Which revision a client speaks: 2026-07-28, or one before it. */
export type Era = 'modern' | 'legacy';

export interface McpLimits {
  /** Milliseconds a call waits for its run unless the tool's arguments say otherwise. */
  waitMs: number;
  /** Milliseconds a call waits for its run before that is handed over as a task. */
  taskAfterMs: number;
  /** Milliseconds between two progress notifications. */
  progressMs: number;
  /** Aborts when the gateway leaves: calls that wait return what they have. */
  drain: AbortSignal;
}

/** What calls of one gateway share. */
export interface ServerParts {
  services: Services;
  check: ArgumentCheck;
  states: RequestStates;
  limits: McpLimits;
}

/**
 * Runs a tool with what the request brings along.
 *
 * @param request.tool its name, as the client gives it
 * @throws ProtocolError when the request's `_meta` is not valid
 */
export async function withToolCall(
  { services, states, limits }: ServerParts,
  caller: Caller,
  request: { tool: string; task: ToolCall['task']; capabilities: ClientCapabilities; era: Era },
  context: ServerContext,
  run: (call: ToolCall) => Promise<ToolResult>,
): Promise<ToolResult> {
  const { mcpReq } = context;
  const key = keyOf(mcpReq._meta);
  const span = startCall(services, caller, request.tool, mcpReq._meta);
  const progress = progressOf(context, limits.progressMs);
  let failure: string | undefined = '_OTHER';
  try {
    const result = await untilAny([mcpReq.signal, limits.drain], (signal) =>
      run({
        services,
        tenant: caller.tenant,
        requestId: caller.requestId,
        span,
        waitMs: limits.waitMs,
        taskAfterMs: limits.taskAfterMs,
        signal,
        progress,
        idempotencyKey: key,
        task: request.task,
        isModern: request.era === 'modern',
        elicits: request.era === 'modern' && takesForms(request.capabilities),
        state: mcpReq.requestState<RequestState>(),
        responses: mcpReq.inputResponses ?? {},
        isWithdrawn: () => request.era === 'modern' && mcpReq.signal.aborted && !limits.drain.aborted,
        states,
      }),
    );
    failure = 'isError' in result && result.isError ? 'tool_error' : undefined;
    return result;
  } finally {
    span.end(failure);
    await progress?.close();
  }
}

function keyOf(meta: ServerContext['mcpReq']['_meta']): string | undefined {
  const key = meta?.[IDEMPOTENCY_KEY];
  if (key === undefined || (typeof key === 'string' && /^[\x20-\x7e]{1,255}$/.test(key))) return key;
  throw new ProtocolError(
    ProtocolErrorCode.InvalidParams,
    `_meta["${IDEMPOTENCY_KEY}"] must be 1 to 255 printable ASCII characters`,
  );
}

/** An empty capability means forms. */
function takesForms({ elicitation }: ClientCapabilities): boolean {
  return elicitation !== undefined && (elicitation.form !== undefined || elicitation.url === undefined);
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
