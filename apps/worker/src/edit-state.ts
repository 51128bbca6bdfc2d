import type { RedisSaver } from '@millrace/checkpoint-redis';
import type { Attempt } from './attempt.ts';
import { type AttemptResult, afterError, failed } from './attempt-result.ts';
import { describeCheckpoint } from './history.ts';
import type { LoadedGraph } from './loader/loaded-graph.ts';
import { onlyTogether, openQuestions } from './questions.ts';
import { standingOf } from './standing.ts';
import { stranded } from './stranded.ts';
import type { WorkerContext } from './worker-context.ts';

/** Edits a thread's state in a node's name, in the thread's turn like any run. */
export async function editState(
  worker: WorkerContext,
  attempt: Attempt,
  loaded: LoadedGraph,
  head: string | undefined,
): Promise<AttemptResult> {
  const { request, tenant, lease, runId, thread } = attempt.claim;
  const saver = worker.saver.withLease({
    namespace: tenant,
    lease,
    runId,
    metadata: { revision: loaded.revision },
  });
  try {
    const graph = await loaded.bind({ checkpointer: saver });
    const began = await worker.store.begin(runId, lease, { base: head ?? '', head: head ?? '' });
    if (began === 'lost') return { result: 'lost' };
    let standing = await standingOf(graph, saver, thread);
    if (standing && standing.missing.length > 0) {
      const stuck = await stranded(worker, loaded, standing);
      // With nobody left who has those nodes, an edit is the way on.
      if (stuck.result === 'hand_back') return stuck;
    }
    // Written by this run: a former attempt did it, and died before it could say so.
    if (standing?.writtenBy !== runId) {
      const { checkpointId } = request;
      if (checkpointId !== undefined && !(await isKept(saver, thread, checkpointId))) {
        return failed('invalid_input', `The checkpoint ${checkpointId} is no longer kept.`);
      }
      const at = checkpointId === undefined ? {} : { checkpoint_id: checkpointId };
      const config = { configurable: { thread_id: thread, ...at } };
      await graph.updateState(config, request.input as Record<string, unknown>, request.asNode);
      standing = await standingOf(graph, saver, thread);
    }
    if (!standing) return { result: 'end', end: { status: 'succeeded' } };
    const { checkpointId, pending: tasks, values } = standing;
    await describeCheckpoint(saver, thread, { checkpointId, tasks, values });
    // Where the thread waits for somebody, it goes on waiting, now for this.
    const questions = await openQuestions(saver, thread, standing, true);
    return {
      result: 'end',
      end: { status: 'succeeded', checkpoint: checkpointId, questions, whole: onlyTogether(questions) },
    };
  } catch (error) {
    return afterError(attempt, error, worker.limits.runTimeoutMs, undefined);
  }
}

async function isKept(saver: RedisSaver, thread: string, checkpointId: string): Promise<boolean> {
  const config = { configurable: { thread_id: thread, checkpoint_ns: '', checkpoint_id: checkpointId } };
  return (await saver.getTuple(config)) !== undefined;
}
