import type { Attempt } from './attempt.ts';
import type { AttemptResult } from './execute.ts';
import { describeCheckpoint } from './history.ts';
import type { LoadedGraph } from './loader/loaded-graph.ts';
import { toRunError } from './run-error.ts';
import { standingOf } from './standing.ts';
import type { WorkerContext } from './worker-context.ts';

/** Edits a thread's state in a node's name, in the thread's turn like any run. */
export async function editState(
  worker: WorkerContext,
  attempt: Attempt,
  loaded: LoadedGraph,
  head: string | undefined,
): Promise<AttemptResult> {
  const { request, tenant, lease, runId, thread } = attempt.claim;
  const saver = worker.saver.withLease({ namespace: tenant, lease, runId });
  const graph = await loaded.bind({ checkpointer: saver });
  if ((await worker.store.begin(runId, lease, { base: head ?? '', head: head ?? '' })) === 'lost') {
    return { result: 'lost' };
  }
  try {
    let standing = await standingOf(graph, saver, thread);
    // Written by this run: a former attempt did it, and died before it could say so.
    if (standing?.writtenBy !== runId) {
      const at = request.checkpointId === undefined ? {} : { checkpoint_id: request.checkpointId };
      const config = { configurable: { thread_id: thread, ...at } };
      await graph.updateState(config, request.input as Record<string, unknown>, request.asNode);
      standing = await standingOf(graph, saver, thread);
    }
    if (!standing) return { result: 'end', end: { status: 'succeeded' } };
    const { checkpointId, pending: tasks, values } = standing;
    await describeCheckpoint(saver, thread, { checkpointId, tasks, values });
    return { result: 'end', end: { status: 'succeeded', checkpoint: checkpointId } };
  } catch (error) {
    if (error instanceof Error && error.name === 'FenceError') return { result: 'lost' };
    return { result: 'end', end: { status: 'failed', error: toRunError(error, false) } };
  }
}
