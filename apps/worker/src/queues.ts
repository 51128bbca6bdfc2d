import { wholeQueueOf } from '@millrace/shared/queue-parts';
import type { LoadedGraph } from './loader/loaded-graph.ts';

/**
 * The queues whose runs a worker takes: those it is told, else those of its graphs.
 *
 * @throws Error for one that can bring it no run, since no graph it has uses the queue
 */
export function queuesToServe(graphs: Pick<LoadedGraph, 'queue'>[], told: string[]): string[] {
  const ofGraphs = [...new Set(graphs.map(({ queue }) => queue))];
  const strange = told.filter((queue) => !ofGraphs.includes(wholeQueueOf(queue)));
  if (strange.length > 0) {
    throw new Error(
      `WORKER_QUEUES: no graph of this worker has the queue ${strange.join(', ')}; ` +
        `name ${ofGraphs.join(', ')}, or a part of it as ${ofGraphs[0]}.name`,
    );
  }
  return told.length > 0 ? [...new Set(told)] : ofGraphs;
}
