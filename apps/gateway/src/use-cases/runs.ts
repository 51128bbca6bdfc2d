import { Refusal } from '@millrace/shared/contract/error';
import type { RunEvent } from '@millrace/shared/contract/event';
import { parseEventId } from '@millrace/shared/contract/event';
import { hasEnded, type Question, type RunRecord } from '@millrace/shared/contract/run';
import type { CancelAction, CancelResult } from '@millrace/shared/run-moves';
import type { Services } from '../services.ts';
import { ring } from './ring.ts';

/** @throws Refusal `not_found`, also for another tenant's, and for a run of another thread than the one named */
export async function getRun(
  services: Services,
  tenant: string,
  runId: string,
  thread?: string,
): Promise<RunRecord> {
  const run = await services.store.read.run(tenant, runId);
  if (!run || (thread !== undefined && run.thread !== thread)) {
    throw new Refusal('not_found', `There is no run "${runId}"`, { field: 'run_id' });
  }
  return run;
}

/** For who waits as long as it takes: a timer that is set for longer fires at once. */
export const LONGEST_WAIT_MS = 2 ** 31 - 1;

/** Waits for a run's end, `timeoutMs` at most, and gives the run as it is then. */
export async function waitForRun(
  services: Services,
  tenant: string,
  runId: string,
  options: { timeoutMs: number; signal?: AbortSignal | undefined },
): Promise<RunRecord> {
  await services.events.waitForEnd(runId, options);
  return getRun(services, tenant, runId);
}

/**
 * A run's events from the one after `lastEventId` on. The caller has made sure that the run is the tenant's.
 *
 * @throws Refusal when the id is none of ours
 */
export function followRun(
  services: Services,
  runId: string,
  options: { lastEventId?: string | undefined; signal?: AbortSignal | undefined },
): AsyncGenerator<RunEvent, void> {
  const { lastEventId, signal } = options;
  // The SDK sends -1 for "from the beginning".
  if (lastEventId === undefined || lastEventId === '' || lastEventId === '-1') {
    return services.events.follow(runId, { signal });
  }
  const after = parseEventId(lastEventId);
  if (!after) {
    throw new Refusal(
      'invalid_request',
      'Last-Event-ID is not an id of this stream; leave it out to start over',
      {
        field: 'Last-Event-ID',
      },
    );
  }
  return services.events.follow(runId, { after, signal });
}

/** Asks a run to stop; a run that waits ends at once. Repeating it is harmless. */
export async function cancelRun(services: Services, tenant: string, runId: string): Promise<RunRecord> {
  return (await stop(services, await getRun(services, tenant, runId), 'interrupt')).after;
}

/**
 * Stops a run and has what it wrote taken back: its thread is again as it was before. One that has ended, and asks
 * nothing, stays as it is. Repeating it is harmless.
 *
 * @returns the turn in which that is done, when there is something to take back
 * @throws Refusal `stale` when it is parked and something else has written to the thread since
 */
export async function rollBackRun(
  services: Services,
  tenant: string,
  runId: string,
): Promise<string | undefined> {
  const { result } = await stop(services, await getRun(services, tenant, runId), 'rollback');
  if (result.outcome === 'behind') {
    throw new Refusal(
      'stale',
      'Something else has written to the thread after this run, so it cannot be rolled back; use action "interrupt"',
      { field: 'action' },
    );
  }
  return result.turn;
}

async function stop(
  services: Services,
  run: RunRecord,
  action: CancelAction,
): Promise<{ result: CancelResult; after: RunRecord }> {
  const result = await services.store.cancel(run.id, action);
  // Its worker is gone, or believed so: should it come back, the checkpoint store must know as well.
  if (result.fence !== undefined) await services.fence(run.tenant, run.thread, result.fence);
  await ring(services, result.job);
  const after = await getRun(services, run.tenant, run.id);
  // It never came to a worker, or its worker is gone: nobody else will count it.
  const cancelled = !hasEnded(run.status) && after.status === 'cancelled';
  if (result.outcome === 'ended' && cancelled && run.request.kind === 'graph') {
    services.counters.ended.inc({ graph: run.request.graph, status: 'cancelled' });
  }
  return { result, after };
}

/** A thread's runs, newest first. */
export function listRuns(
  services: Services,
  tenant: string,
  thread: string,
  page: Parameters<Services['store']['read']['runsOfThread']>[2],
): Promise<RunRecord[]> {
  return services.lists.runsOfThread(tenant, thread, page);
}

/** What a run left behind, as a caller sees it. */
export interface RunOutcome {
  /** The state's values at the run's end; undefined when it left none or they are gone. */
  values: Record<string, unknown> | undefined;
  /** Open while the run's chain is parked. */
  questions: Question[];
}

/** The values at a run's end, from its checkpoint. For a run that has not ended: what the thread has so far. */
export async function outcomeOf(services: Services, run: RunRecord): Promise<RunOutcome> {
  const checkpointId = hasEnded(run.status) ? run.checkpoint : undefined;
  if (hasEnded(run.status) && checkpointId === undefined) return { values: undefined, questions: [] };
  const reader = services.checkpoints(run.tenant);
  const state = await reader.get(run.thread, checkpointId ? { checkpointId } : {});
  return { values: state?.values, questions: run.status === 'interrupted' ? (run.questions ?? []) : [] };
}

/** Ids of the messages that a run found in its thread. */
export async function messagesBefore(
  services: Services,
  tenant: string,
  runId: string,
): Promise<Set<unknown>> {
  const { base, thread } = await getRun(services, tenant, runId);
  const found = base ? await services.checkpoints(tenant).get(thread, { checkpointId: base }) : undefined;
  const messages = found?.values.messages;
  return new Set(Array.isArray(messages) ? messages.map((one: { id?: unknown } | null) => one?.id) : []);
}
