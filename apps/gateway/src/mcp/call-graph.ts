import type { JsonObject } from '@millrace/shared/contract/json';
import type { CallToolResult } from '@modelcontextprotocol/server';
import { submitRun } from '../use-cases/submit-run.ts';
import { awaitAccepted } from './await-run.ts';
import type { ToolCall } from './tool-call.ts';
import { type GraphTool, toRunInput } from './tools.ts';

/**
 * Runs a graph and waits for the outcome as long as the call may; a run that takes longer is handed over by its id.
 *
 * @throws Refusal naming why the run was not accepted
 */
export async function callGraph(call: ToolCall, tool: GraphTool, args: JsonObject): Promise<CallToolResult> {
  const { input, thread } = toRunInput(tool.graph, args);
  const accepted = await submitRun(call.services, {
    tenant: call.tenant,
    requestId: call.requestId,
    span: call.span,
    assistant: tool.graph.graph,
    thread,
    createThread: true,
    input,
    streamModes: ['updates'],
    idempotency: call.idempotencyKey === undefined ? undefined : { key: call.idempotencyKey, body: args },
  });
  return awaitAccepted(call, accepted);
}
