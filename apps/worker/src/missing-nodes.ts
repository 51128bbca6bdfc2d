import type { CheckpointTuple } from '@langchain/langgraph';
import type { ExecutableGraph } from './loader/executable-graph.ts';

/** LangGraph's names of the channels by which a node calls the next one, and by which a node waits for several. */
const BRANCH = /^branch:to:(.*)$/;
const JOIN = /^join:(.*):(.*)$/;
const SENDS = '__pregel_tasks';

/**
 * What a checkpoint goes on with and the graph has not: nodes that are called or sent to, and nodes that have begun to
 * wait for others (`<node> after <others>`).
 *
 * LangGraph itself passes over what it does not know: nothing would be left to do, and the run would look finished.
 */
export function missingNodes(graph: ExecutableGraph, { checkpoint }: CheckpointTuple): string[] {
  const missing = new Set<string>();
  for (const [channel, value] of Object.entries(checkpoint.channel_values)) {
    if (channel === SENDS) {
      for (const { node } of value as { node: string }[])
        if (!Object.hasOwn(graph.nodes, node)) missing.add(node);
    }
    if (Object.hasOwn(graph.channels, channel)) continue;
    const [, called] = BRANCH.exec(channel) ?? [];
    if (called !== undefined) missing.add(called);
    const [, others, waiting] = JOIN.exec(channel) ?? [];
    if (waiting !== undefined && hasBegun(value)) missing.add(`${waiting} after ${others}`);
  }
  return [...missing].sort();
}

/** @param barrier the names that have come; of a deferred node, with whether the graph has finished beside it */
function hasBegun(barrier: unknown): boolean {
  return [barrier].flat(2).some((name) => typeof name === 'string');
}
