import { Refusal } from '@millrace/shared/contract/error';
import type { Json } from '@millrace/shared/contract/json';
import { hasEnded, type RunRecord } from '@millrace/shared/contract/run';
import type { Services } from '../services.ts';
import { LONGEST_WAIT_MS, waitForRun } from './runs.ts';
import { requireCheckpoint } from './state.ts';
import { submitRun } from './submit-run.ts';
import { getThread, updateThread } from './threads.ts';

export interface StateEdit {
  /** An update as a node would return it; null for none, which still ends the turn of `asNode`. */
  values: Json;
  /** The node in whose name the state is edited. */
  asNode?: string | undefined;
  /** Edit from this checkpoint of the thread, not from its head. */
  checkpointId?: string | undefined;
  idempotency?: { key: string; body: unknown };
  /** Nobody waits for it any more. The edit is made all the same. */
  signal: AbortSignal;
}

/**
 * Edits a thread's state through its graph, on a worker, and waits for it.
 *
 * @returns the id of the new head checkpoint
 * @throws Refusal `thread_busy`, since what an edit is based on must not move; `invalid_request` when the thread
 * has no graph yet, or when the graph does not take the edit; `unavailable` when it could not be waited for
 */
export async function editState(
  services: Services,
  tenant: string,
  thread: string,
  edit: StateEdit,
): Promise<string> {
  const assistant = await graphOf(services, tenant, thread);
  if (edit.checkpointId !== undefined) {
    await requireCheckpoint(services, tenant, thread, edit.checkpointId);
  }
  const { runId } = await submitRun(services, {
    tenant,
    assistant,
    kind: 'update_state',
    thread,
    input: edit.values,
    asNode: edit.asNode,
    checkpointId: edit.checkpointId,
    streamModes: [],
    multitask: 'reject',
    ...(edit.idempotency && { idempotency: edit.idempotency }),
  });
  const run = await waitForRun(services, tenant, runId, {
    timeoutMs: LONGEST_WAIT_MS,
    signal: edit.signal,
  });
  return checkpointOf(services, run);
}

async function checkpointOf(services: Services, run: RunRecord): Promise<string> {
  if (!hasEnded(run.status)) {
    throw new Refusal('unavailable', 'The edit is accepted and not made yet; look at the state later');
  }
  if (run.status === 'cancelled') {
    throw new Refusal('stale', 'The edit was cancelled before its turn; make it again');
  }
  if (run.status === 'failed') {
    const { code, message } = run.error ?? {
      code: 'graph_error',
      message: 'The graph did not take the edit',
    };
    const ours = code === 'crash_budget' || code === 'timeout';
    throw new Refusal(ours ? 'unavailable' : 'invalid_request', message, ours ? {} : { field: 'values' });
  }
  const checkpoint =
    run.checkpoint ?? (await services.checkpoints(run.tenant).head(run.thread))?.checkpointId;
  if (checkpoint === undefined) throw new Error(`Edit ${run.id} succeeded and left no checkpoint`);
  return checkpoint;
}

/** The graph whose state a thread holds: as its metadata says, or else the one that ran last, which it then says. */
async function graphOf(services: Services, tenant: string, thread: string): Promise<string> {
  const { metadata } = await getThread(services, tenant, thread);
  if (typeof metadata.graph_id === 'string') return metadata.graph_id;
  const [newest] = await services.store.read.runsOfThread(tenant, thread, { limit: 1, offset: 0 });
  // Runs are kept for a shorter time than what they wrote.
  const written = newest ?? (await services.checkpoints(tenant).head(thread));
  const graph = written && ('request' in written ? written.request.graph : written.metadata.graph_id);
  if (typeof graph !== 'string') {
    throw new Refusal(
      'invalid_request',
      'The thread has no graph yet: run one on it, or set graph_id in its metadata',
      { field: 'thread_id' },
    );
  }
  // After the edit neither would say it any more.
  await updateThread(services, tenant, thread, { graph_id: graph });
  return graph;
}
