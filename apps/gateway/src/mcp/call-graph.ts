import type { CatalogEntry } from '@millrace/shared/contract/catalog';
import type { JsonObject } from '@millrace/shared/contract/json';
import { isRedisFault } from '@millrace/shared/redis-fault';
import { inputRequired, ProtocolError } from '@modelcontextprotocol/server';
import {
  cancelChain,
  getChain,
  handOverChain,
  isOver,
  isParked,
  openQuestions,
} from '../use-cases/chains.ts';
import { waitForRun } from '../use-cases/runs.ts';
import { type AcceptedRun, submitRun } from '../use-cases/submit-run.ts';
import type { ArgumentCheck } from './argument-check.ts';
import { formForMissing, withAnswered } from './asked-arguments.ts';
import { awaitAccepted, awaitRun } from './await-run.ts';
import { callId, checkCall, type RequestState } from './request-state.ts';
import { acceptedResult, failure } from './run-result.ts';
import { takeResponses } from './tasks/answer.ts';
import { createdTask } from './tasks/experimental.ts';
import { tasksRequired } from './tasks/extension.ts';
import { formOf, type InputRequest } from './tasks/forms.ts';
import { errorOf, type Task, taskOf, taskResult } from './tasks/task.ts';
import type { ToolCall, ToolResult } from './tool-call.ts';
import { type GraphTool, toRunInput } from './tools.ts';

const METHOD_NOT_FOUND = -32601;

/**
 * Runs a graph. A client that takes tasks gets one, unless the run is over soon; any other waits for the outcome as long as
 * the call may, and is then handed the run's id.
 *
 * @param given the arguments, as the client gives them
 * @throws Refusal naming why the run was not accepted
 * @throws ProtocolError when the graph runs as a task only, or never does, and the client wants it otherwise
 */
export async function callGraph(
  call: ToolCall,
  check: ArgumentCheck,
  { graph, definition }: GraphTool,
  given: JsonObject,
): Promise<ToolResult> {
  const asTask = taskOrNot(call, graph);
  const state = { tenant: call.tenant, call: callId(definition.name, given) };
  if (call.state) checkCall(call.state, state.call);
  if (call.state?.chain !== undefined) return goOn(call, { ...state, chain: call.state.chain });
  const args = call.state ? withAnswered(definition, given, call.responses) : given;
  if (!args) return failure('The person who was asked for the missing arguments would not say.');
  const form = call.elicits ? formForMissing(definition, args) : undefined;
  if (form) return askFor(call, state, form);
  const fault = check.faultOf(definition, args);
  if (fault !== undefined) return failure(`The arguments are not valid: ${fault}`);

  const { input, thread } = toRunInput(graph, args);
  const accepted = await submitRun(call.services, {
    tenant: call.tenant,
    requestId: call.requestId,
    span: call.span,
    assistant: graph.graph,
    thread,
    createThread: true,
    input,
    streamModes: ['updates'],
    idempotency: call.idempotencyKey === undefined ? undefined : { key: call.idempotencyKey, body: args },
  });
  if (asTask) return asTask(call, accepted);
  if (!call.elicits) return withdrawable(call, accepted, () => awaitAccepted(call, accepted));
  return withdrawable(call, accepted, () => awaitOrAsk(call, { ...state, chain: accepted.runId }, accepted));
}

type Outcome = (call: ToolCall, accepted: AcceptedRun) => Promise<ToolResult>;

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

async function handOverUnlessSoon(call: ToolCall, accepted: AcceptedRun): Promise<ToolResult> {
  const { services, tenant, signal, taskAfterMs: timeoutMs } = call;
  try {
    await waitForRun(services, tenant, accepted.runId, { timeoutMs, signal });
    const view = await getChain(services, tenant, accepted.runId);
    if (isOver(view) && !errorOf(view)) return await taskResult(services, view);
  } catch (error) {
    if (!isRedisFault(error)) throw error;
  }
  return handOver(call, accepted);
}

async function handOver(call: ToolCall, accepted: AcceptedRun): Promise<ToolResult> {
  // The SDK puts content into whatever is the result of a call; what it is, its type says.
  return { content: [], resultType: 'task', ...(await startedTask(call, accepted)) };
}

async function handOverAsAsked(call: ToolCall, accepted: AcceptedRun): Promise<ToolResult> {
  return createdTask(await startedTask(call, accepted));
}

/** The task of a run that was accepted: its id is not lost to a fault. */
async function startedTask({ services, tenant }: ToolCall, { runId }: AcceptedRun): Promise<Task> {
  try {
    return await taskOf(services, await handOverChain(services, tenant, runId));
  } catch (error) {
    if (!isRedisFault(error)) throw error;
    const now = new Date().toISOString();
    const ttlMs = services.store.retention.runsMs || null;
    return { taskId: runId, status: 'working', createdAt: now, lastUpdatedAt: now, ttlMs };
  }
}

/**
 * A client of 2026-07-28 that closes a plain call has taken it back, and its run is stopped. Not when it could come again for
 * it, by its idempotency key.
 */
async function withdrawable(
  call: ToolCall,
  accepted: AcceptedRun,
  wait: () => Promise<ToolResult>,
): Promise<ToolResult> {
  const result = await wait();
  if (call.isWithdrawn() && call.idempotencyKey === undefined) {
    await cancelChain(call.services, await getChain(call.services, call.tenant, accepted.runId));
  }
  return result;
}

/** Waits as any call; what the run asks meanwhile goes to the client, which calls again with the answers. */
async function awaitOrAsk(
  call: ToolCall,
  state: RequestState & { chain: string },
  accepted: { runId: string; thread: string },
): Promise<ToolResult> {
  call.progress?.report('queued');
  try {
    await awaitRun(call, accepted.runId);
    const view = await getChain(call.services, call.tenant, state.chain);
    if (!isParked(view)) return await taskResult(call.services, view);
    return await askFor(
      call,
      state,
      Object.fromEntries(openQuestions(view).map((one) => [one.id, formOf(one)])),
    );
  } catch (error) {
    if (!isRedisFault(error)) throw error;
    return acceptedResult(accepted.runId, accepted.thread);
  }
}

/** The result of a call that is to be made again, with answers. */
async function askFor(
  call: ToolCall,
  state: RequestState,
  inputRequests: Record<string, InputRequest>,
): Promise<ToolResult> {
  return inputRequired({
    inputRequests,
    requestState: await call.states.sign({ ...state, asks: Object.keys(inputRequests) }),
  });
}

/** @throws Refusal `not_found` when what asked is not kept any more */
async function goOn(call: ToolCall, state: RequestState & { chain: string }): Promise<ToolResult> {
  const { services, tenant } = call;
  const asked = await getChain(services, tenant, state.chain);
  const putOff = await takeResponses(services, call, asked, call.responses);
  const view = await getChain(services, tenant, state.chain);
  // Asked again at once, a person would have to put it off again.
  if (putOff && isParked(view)) return taskResult(services, view);
  return awaitOrAsk(call, state, { runId: view.run.id, thread: view.run.thread });
}
