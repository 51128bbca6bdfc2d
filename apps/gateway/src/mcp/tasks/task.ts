import type { ChainView } from '@millrace/shared/run-reader';
import { type CallToolResult, ProtocolErrorCode } from '@modelcontextprotocol/server';
import type { Services } from '../../services.ts';
import { closedHow, isOver, isParked, openQuestions, updatedAtOf } from '../../use-cases/chains.ts';
import { describeStep } from '../run-progress.ts';
import { runResult } from '../run-result.ts';
import { formOf, type InputRequest } from './forms.ts';

/** The extension's name, among the capabilities of a client and of this server. */
export const TASKS = 'io.modelcontextprotocol/tasks';

/** A chain as MCP's `Task`. Times are ISO 8601. */
export interface Task {
  taskId: string;
  status: 'working' | 'input_required' | 'completed' | 'failed' | 'cancelled';
  statusMessage?: string;
  createdAt: string;
  lastUpdatedAt: string;
  /**
   * Milliseconds after its creation for which it is kept; null when it is kept for good. Grows while it works. A promise to whom
   * it was given as a task; what was a plain call, and is only listed, goes sooner when its thread has many newer runs.
   */
  ttlMs: number | null;
  pollIntervalMs?: number;
}

/** A task with what its status brings along. */
export type DetailedTask = Task & {
  inputRequests?: Record<string, InputRequest>;
  result?: CallToolResult;
  error?: TaskError;
};

/** A JSON-RPC error. */
interface TaskError {
  code: number;
  message: string;
  data: { code: string };
}

/** Failures that are none of the tool's: its workers died, or no worker has its graph any more. */
const OURS: readonly string[] = ['crash_budget', 'graph_changed'];

const SHORTEST_POLL_MS = 500;
const LONGEST_POLL_MS = 10_000;
/** How far back the last step of a run is looked for. */
const LOOKED_AT = 16;

export async function taskOf(services: Services, view: ChainView): Promise<Task> {
  const status = statusOf(view);
  const message = await messageOf(services, view);
  const createdAt = createdAtOf(view);
  return {
    taskId: view.chain.id,
    status,
    ...(message !== undefined && { statusMessage: message }),
    createdAt: new Date(createdAt).toISOString(),
    lastUpdatedAt: new Date(updatedAtOf(view)).toISOString(),
    ttlMs: ttlOf(view, createdAt),
    ...(!isOver(view) && { pollIntervalMs: pollIntervalOf(view) }),
  };
}

export async function detailedTask(services: Services, view: ChainView): Promise<DetailedTask> {
  const task = await taskOf(services, view);
  if (task.status === 'input_required') {
    const forms = openQuestions(view).map((one) => [one.id, formOf(one)] as const);
    return { ...task, inputRequests: Object.fromEntries(forms) };
  }
  const error = errorOf(view);
  if (error) return { ...task, error };
  if (task.status !== 'completed') return task;
  const result = await taskResult(services, view);
  return { ...task, result: { resultType: 'complete', ...result } };
}

/** Why a task has failed: undefined when it has not, or its tool has. */
export function errorOf({ run }: ChainView): TaskError | undefined {
  if (run.status !== 'failed' || !run.error || !OURS.includes(run.error.code)) return undefined;
  return {
    code: ProtocolErrorCode.InternalError,
    message: run.error.message,
    data: { code: run.error.code },
  };
}

/** What the call would have returned, had it waited to the end. */
export function taskResult(services: Services, view: ChainView): Promise<CallToolResult> {
  return runResult(services, { run: view.run, closed: closedHow(view) });
}

function statusOf(view: ChainView): Task['status'] {
  if (isParked(view)) return 'input_required';
  if (closedHow(view)) return 'cancelled';
  switch (view.run.status) {
    case 'succeeded':
      return 'completed';
    case 'failed':
      // A tool that failed is a call that was completed.
      return errorOf(view) ? 'failed' : 'completed';
    case 'cancelled':
      return 'cancelled';
    default:
      return 'working';
  }
}

async function messageOf(services: Services, view: ChainView): Promise<string | undefined> {
  const { run } = view;
  switch (run.status) {
    case 'queued':
      return queuedMessage(services, view);
    case 'running':
      return run.cancelRequested ? 'Was asked to stop' : runningMessage(services, run.id);
    case 'interrupted': {
      if (closedHow(view) === 'superseded') return 'Superseded by a newer message';
      if (closedHow(view) === 'cancelled') return 'Cancelled while it waited for an answer';
      const open = openQuestions(view).length;
      return open === 1 ? 'Waits for an answer' : `Waits for ${open} answers`;
    }
    case 'failed':
      return run.error?.message;
    case 'cancelled':
      return 'Cancelled';
    case 'succeeded':
      return undefined;
  }
}

async function queuedMessage(services: Services, { before, job }: ChainView): Promise<string> {
  if (before !== undefined && before > 0) return `Queued behind ${before} of its thread`;
  const ahead = await services.doorbell.ahead(job);
  if (ahead === undefined) return 'Queued';
  return ahead === 0 ? 'Queued, next in line' : `Queued, ${ahead} before it`;
}

async function runningMessage(services: Services, runId: string): Promise<string> {
  const newest = await services.events.newest(runId, LOOKED_AT);
  const step = newest.map(describeStep).find((text) => text !== undefined);
  return step === undefined ? 'At work' : `At work, after ${step}`;
}

function createdAtOf({ chain, run }: ChainView): number {
  return chain.createdAt ?? run.createdAt;
}

/** Its end begins its retention; until then it is kept, and longer than that from now on. */
function ttlOf(view: ChainView, createdAt: number): number | null {
  const { run, expiresAt = Number.POSITIVE_INFINITY, now } = view;
  const after = run.retention ? run.retention : Number.POSITIVE_INFINITY;
  const until = isParked(view)
    ? expiresAt
    : isOver(view)
      ? Math.min(updatedAtOf(view) + after, expiresAt)
      : now + after;
  return Number.isFinite(until) ? until - createdAt : null;
}

/** A tenth of the time it has taken so far: what is over soon is heard of soon, and what takes long is not asked for often. */
function pollIntervalOf(view: ChainView): number {
  const since = isParked(view) ? updatedAtOf(view) : view.run.createdAt;
  const tenth = Math.round((view.now - since) / 10);
  return Math.min(LONGEST_POLL_MS, Math.max(SHORTEST_POLL_MS, tenth));
}
