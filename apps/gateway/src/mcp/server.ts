import { Refusal } from '@millrace/shared/contract/error';
import type { JsonObject } from '@millrace/shared/contract/json';
import { isRedisFault } from '@millrace/shared/redis-fault';
import {
  type CallToolRequest,
  type CallToolResult,
  ProtocolError,
  ProtocolErrorCode,
  Server,
} from '@modelcontextprotocol/server';
import packageJson from '../../package.json' with { type: 'json' };
import type { Services } from '../services.ts';
import type { ArgumentCheck } from './argument-check.ts';
import { callGraph } from './call-graph.ts';
import { handles, handleTools } from './handle-tools.ts';
import { failure, refusalResult } from './run-result.ts';
import { type Caller, IDEMPOTENCY_KEY, type McpLimits, type ToolCall, withToolCall } from './tool-call.ts';
import { graphTools, handleToolNames } from './tools.ts';

/** How long a client may keep the list of tools: it changes with releases. */
const TOOLS_TTL_MS = 60_000;

const instructions = [
  'Each agent is a tool. A call starts a run and waits for its answer; one that takes longer returns a run_id',
  'and goes on by itself: get_run waits for it, cancel_run stops it. A run that needs an answer returns the status',
  'interrupted and its questions: respond_run answers them. Give thread_id of an earlier result to go on with that',
  'conversation.',
].join(' ');

/**
 * A server for one request. It keeps nothing: whatever a later request needs is in Redis, so any gateway answers it.
 */
export function createServer(
  services: Services,
  check: ArgumentCheck,
  caller: Caller,
  limits: McpLimits,
): Server {
  const server = new Server(
    { name: 'millrace', title: 'Millrace', version: packageJson.version },
    {
      capabilities: { tools: {} },
      instructions,
      cacheHints: { 'tools/list': { ttlMs: TOOLS_TTL_MS, cacheScope: 'private' } },
    },
  );
  server.onerror = (error) => caller.logger.debug({ err: error }, 'mcp: an exchange went wrong');

  server.setRequestHandler('tools/list', ({ params }) =>
    guarded(caller, async () => {
      if (params?.cursor !== undefined) {
        throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'There is one page; leave "cursor" out');
      }
      const graphs = graphTools(await services.catalog.list());
      return { tools: [...graphs.map((one) => one.definition), ...handleTools] };
    }),
  );

  server.setRequestHandler('tools/call', ({ params }, context) =>
    guarded(caller, () =>
      withToolCall(services, caller, limits, params.name, context, (call) => callTool(call, check, params)),
    ),
  );
  return server;
}

async function callTool(
  call: ToolCall,
  check: ArgumentCheck,
  params: CallToolRequest['params'],
): Promise<CallToolResult> {
  const name = params.name;
  const args = (params.arguments ?? {}) as JsonObject;
  try {
    const handle = handleToolNames.find((one) => one === name);
    if (handle) {
      call.span.rename(`tools/call ${handle}`);
      return await handles[handle](call, args);
    }
    const graphs = graphTools(await call.services.catalog.list());
    const tool = graphs.find((one) => one.definition.name === name);
    if (tool) {
      call.span.rename(`tools/call ${name}`);
      const fault = check.faultOf(tool.definition, args);
      if (fault !== undefined) return failure(`The arguments are not valid: ${fault}`);
      return await callGraph(call, tool, args);
    }
    // Says so when no worker has published anything yet: then any name is unknown.
    if (graphs.length === 0) await call.services.catalog.resolve(name, 'name');
    const known = [...graphs.map((one) => one.definition.name), ...handleToolNames].join(', ');
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      `There is no tool "${name}"; there are: ${known}`,
    );
  } catch (error) {
    // Full, or not there yet: nothing a model can mend. Everything else it can.
    const full = error instanceof Refusal && (error.status === 503 || error.status === 429);
    if (error instanceof Refusal && !full) return refusalResult(error);
    throw error;
  }
}

/** Turns what is no answer into a JSON-RPC error that gives nothing of our insides away. */
async function guarded<T>(caller: Caller, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw toProtocolError(caller, error);
  }
}

function toProtocolError({ logger, requestId }: Caller, error: unknown): ProtocolError {
  if (error instanceof ProtocolError) return error;
  if (error instanceof Refusal) {
    return new ProtocolError(ProtocolErrorCode.InternalError, error.message, {
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
