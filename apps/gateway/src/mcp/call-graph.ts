import type { CatalogEntry } from '@millrace/shared/contract/catalog';
import type { JsonObject } from '@millrace/shared/contract/json';
import { isRedisFault } from '@millrace/shared/redis-fault';
import { type CallToolResult, inputRequired, ProtocolError } from '@modelcontextprotocol/server';
import { cancelChain, getChain, isOver, isParked, openQuestions } from '../use-cases/chains.ts';
import { waitForRun } from '../use-cases/runs.ts';
import { type AcceptedRun, submitRun } from '../use-cases/submit-run.ts';
import { awaitAccepted, awaitRun } from './await-run.ts';
import { callId, checkCall, type RequestState } from './request-state.ts';
import { acceptedResult } from './run-result.ts';
import { takeResponses } from './tasks/answer.ts';
import { createdTask } from './tasks/experimental.ts';
import { tasksRequired } from './tasks/extension.ts';
import { formOf } from './tasks/forms.ts';
import { type Task, taskOf, taskResult } from './tasks/task.ts';
import type { ToolCall } from './tool-call.ts';
import { type GraphTool, toRunInput } from './tools.ts';

const METHOD_NOT_FOUND = -32601;

/**
 * Runs a graph. A client that takes tasks gets one, unless the run is over soon; any other waits for the outcome as long as
 * the call may, and is then handed the run's id.
 *
 * @throws Refusal naming why the run was not accepted
 * @throws ProtocolError when the graph runs as a task only, or never does, and the client wants it otherwise
 */
export async function callGraph(call: ToolCall, tool: GraphTool, args: JsonObject): Promise<CallToolResult> {
  const name = tool.definition.name;
  const asTask = taskOrNot(call, tool.graph);
  if (call.state) {
    checkCall(call.state, callId(name, args));
    return goOn(call, call.state);
  }
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
  if (asTask) return asTask(call, accepted);
  if (!call.elicits) return withdrawable(call, accepted, () => awaitAccepted(call, accepted));
  const state = { tenant: call.tenant, call: callId(name, args), chain: accepted.runId };
  return withdrawable(call, accepted, () => awaitOrAsk(call, state, accepted));
}

type Outcome = (call: ToolCall, accepted: AcceptedRun) => Promise<CallToolResult>;

/** How the run becomes a task; undefined when it does not. */
function taskOrNot(call: ToolCall, { graph, taskSupport = 'optional' }: CatalogEntry): Outcome | undefined {
  switch (call.task) {
    case 'taken':
      if (taskSupport === 'required') return handOver;
      return taskSupport === 'optional' ? handOverUnlessSoon : undefined;
    case 'asked for':
      if (taskSupport !== 'forbidden') return handOverAsAsked;
      throw taskForbidden(graph);
    case 'unknown':
      if (taskSupport !== 'required') return undefined;
      if (call.isModern) throw tasksRequired();
      throw new ProtocolError(METHOD_NOT_FOUND, `"${graph}" runs as a task only; call it with "task"`);
  }
}

/** What a client is told that asks for a task where there is none. */
export function taskForbidden(tool: string): ProtocolError {
  return new ProtocolError(METHOD_NOT_FOUND, `"${tool}" does not run as a task; leave "task" out`);
}

async function handOverUnlessSoon(call: ToolCall, accepted: AcceptedRun): Promise<CallToolResult> {
  const { services, tenant, signal, taskAfterMs: timeoutMs } = call;
  try {
    await waitForRun(services, tenant, accepted.runId, { timeoutMs, signal });
    const view = await getChain(services, tenant, accepted.runId);
    if (isOver(view)) return await taskResult(services, view);
  } catch (error) {
    if (!isRedisFault(error)) throw error;
  }
  return handOver(call, accepted);
}

async function handOver(call: ToolCall, accepted: AcceptedRun): Promise<CallToolResult> {
  // The SDK puts content into whatever is the result of a call; what it is, its type says.
  return { content: [], resultType: 'task', ...(await startedTask(call, accepted)) };
}

async function handOverAsAsked(call: ToolCall, accepted: AcceptedRun): Promise<CallToolResult> {
  return createdTask(await startedTask(call, accepted));
}

/** The task of a run that was accepted: its id is not lost to a fault. */
async function startedTask({ services, tenant }: ToolCall, { runId }: AcceptedRun): Promise<Task> {
  try {
    return await taskOf(services, await getChain(services, tenant, runId));
  } catch (error) {
    if (!isRedisFault(error)) throw error;
    const now = new Date().toISOString();
    return { taskId: runId, status: 'working', createdAt: now, lastUpdatedAt: now, ttlMs: null };
  }
}

/**
 * A client of 2026-07-28 that closes a plain call has taken it back, and its run is stopped. Not when it could come again for
 * it, by its idempotency key.
 */
async function withdrawable(
  call: ToolCall,
  accepted: AcceptedRun,
  wait: () => Promise<CallToolResult>,
): Promise<CallToolResult> {
  const result = await wait();
  if (call.isWithdrawn() && call.idempotencyKey === undefined) {
    await cancelChain(call.services, await getChain(call.services, call.tenant, accepted.runId));
  }
  return result;
}

/** Waits as any call; what the run asks meanwhile goes to the client, which calls again with the answers. */
async function awaitOrAsk(
  call: ToolCall,
  state: RequestState,
  accepted: { runId: string; thread: string },
): Promise<CallToolResult> {
  call.progress?.report('queued');
  try {
    await awaitRun(call, accepted.runId);
    const view = await getChain(call.services, call.tenant, state.chain);
    if (!isParked(view)) return await taskResult(call.services, view);
    return inputRequired({
      inputRequests: Object.fromEntries(openQuestions(view).map((one) => [one.id, formOf(one)])),
      requestState: await call.states.sign(state),
    }) as unknown as CallToolResult;
  } catch (error) {
    if (!isRedisFault(error)) throw error;
    return acceptedResult(accepted.runId, accepted.thread);
  }
}

/** @throws Refusal `not_found` when what asked is not kept any more */
async function goOn(call: ToolCall, state: RequestState): Promise<CallToolResult> {
  const { services, tenant } = call;
  const asked = await getChain(services, tenant, state.chain);
  const putOff = await takeResponses(services, call, asked, call.responses);
  const view = await getChain(services, tenant, state.chain);
  // Asked again at once, a person would have to put it off again.
  if (putOff && isParked(view)) return taskResult(services, view);
  return awaitOrAsk(call, state, { runId: view.run.id, thread: view.run.thread });
}
