import { Refusal } from '@millrace/shared/contract/error';
import type { JsonObject } from '@millrace/shared/contract/json';
import { type CallToolRequest, ProtocolError, ProtocolErrorCode, Server } from '@modelcontextprotocol/server';
import packageJson from '../../package.json' with { type: 'json' };
import type { ArgumentCheck } from './argument-check.ts';
import { callGraph, taskForbidden } from './call-graph.ts';
import { guarded } from './guarded.ts';
import { handles, handleTools } from './handle-tools.ts';
import { checkParamHeaders } from './param-headers.ts';
import { servePrompts } from './prompts.ts';
import { resourceCacheHints, resourceCapabilities, serveResources } from './resources/serve.ts';
import { withKnownContent } from './run-content.ts';
import { refusalResult } from './run-result.ts';
import { serveExperimentalTasks, taskCapabilities } from './tasks/experimental.ts';
import { serveTasks, takesTasks } from './tasks/extension.ts';
import { TASKS } from './tasks/task.ts';
import {
  type Caller,
  type Era,
  type ServerParts,
  type ToolCall,
  type ToolResult,
  withToolCall,
} from './tool-call.ts';
import { graphTools, handleToolNames } from './tools.ts';

/** How long a client may keep the lists of tools and prompts: they change with releases. */
const CATALOG_TTL_MS = 60_000;

const instructions = [
  'Each agent is a tool. A call starts a run and waits for its answer; one that takes longer returns a run_id',
  'and goes on by itself: get_run waits for it, cancel_run stops it. A run that needs an answer returns the status',
  'interrupted and its questions: respond_run answers them. Give thread_id of an earlier result to go on with that',
  'conversation. To a client that takes tasks, a call that takes longer is a task, and its questions are input requests.',
].join(' ');

/**
 * A server for one request. It keeps nothing: whatever a later request needs is in Redis, or signed and with the client, so
 * any gateway answers it.
 */
export function createServer(parts: ServerParts, caller: Caller, era: Era): Server {
  const { services } = parts;
  const isModern = era === 'modern';
  const server = new Server(
    { name: 'millrace', title: 'Millrace', version: packageJson.version },
    {
      capabilities: {
        tools: {},
        resources: resourceCapabilities(era),
        prompts: {},
        ...(isModern ? { extensions: { [TASKS]: {} } } : { tasks: taskCapabilities }),
      },
      instructions,
      cacheHints: {
        'tools/list': { ttlMs: CATALOG_TTL_MS, cacheScope: 'private' },
        'prompts/list': { ttlMs: CATALOG_TTL_MS, cacheScope: 'private' },
        ...resourceCacheHints,
      },
      requestState: { verify: (state, context) => parts.states.verify(state, caller.tenant, context) },
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
    guarded(caller, async () => {
      const capabilities = server.getClientCapabilities() ?? {};
      const task = isModern
        ? takesTasks(capabilities) && ('taken' as const)
        : params.task !== undefined && ('asked for' as const);
      const request = { tool: params.name, task: task || ('unknown' as const), capabilities, era };
      const result = await withToolCall(parts, caller, request, context, (call) =>
        callTool(call, parts.check, params, caller),
      );
      return withKnownContent(result, caller.headers.get('mcp-protocol-version'));
    }),
  );

  if (isModern) serveTasks(server, services, caller);
  else serveExperimentalTasks(server, services, caller, parts.limits);
  serveResources(server, services, caller);
  servePrompts(server, services, caller);
  return server;
}

async function callTool(
  call: ToolCall,
  check: ArgumentCheck,
  params: CallToolRequest['params'],
  caller: Caller,
): Promise<ToolResult> {
  const name = params.name;
  const args = (params.arguments ?? {}) as JsonObject;
  try {
    const handle = handleToolNames.find((one) => one === name);
    if (handle) {
      if (call.task === 'asked for') throw taskForbidden(name);
      call.span.rename(`tools/call ${handle}`);
      return await handles[handle](call, args);
    }
    const graphs = graphTools(await call.services.catalog.list());
    const tool = graphs.find((one) => one.definition.name === name);
    if (tool) {
      call.span.rename(`tools/call ${name}`);
      if (call.isModern) checkParamHeaders(tool.definition.inputSchema, args, caller);
      return await callGraph(call, check, tool, args);
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
