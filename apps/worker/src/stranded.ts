import { ANOTHER_TIME_MS, type AttemptResult, failed } from './attempt-result.ts';
import type { LoadedGraph } from './loader/loaded-graph.ts';
import type { Standing } from './standing.ts';
import type { WorkerContext } from './worker-context.ts';

/**
 * What becomes of a run that stands before a node which the loaded graph does not have: another worker may have the
 * graph as it was, and when none has, it cannot go on.
 */
export async function stranded(
  worker: WorkerContext,
  loaded: LoadedGraph,
  { missing, revision }: Standing,
): Promise<AttemptResult> {
  // A graph that changed in a way its revision does not show is no other revision to wait for.
  const isAnother = revision !== undefined && revision !== loaded.revision;
  if (isAnother && (await worker.presence.mayBeServed(loaded.name, revision))) {
    return { result: 'hand_back', delayMs: ANOTHER_TIME_MS };
  }
  const nodes = missing.map((node) => JSON.stringify(node)).join(', ');
  return failed(
    'graph_changed',
    `The run goes on with ${nodes}, which the graph "${loaded.name}" does not have in revision ${loaded.revision}. ` +
      `It was left by revision ${revision ?? '(unknown)'}, which no worker has any more.`,
  );
}
