import type { CheckpointView } from '@millrace/checkpoint-redis/reader';
import type { Services } from '../services.ts';
import { getState, noCheckpoint } from '../use-cases/state.ts';
import { type StateTree, taskNamespace } from '../wire/state-json.ts';

/** Sub-graphs of sub-graphs are followed so far. */
const MAX_DEPTH = 8;

/**
 * A thread's state, with those of the sub-graphs at work in it when `subgraphs` is set.
 *
 * @throws Refusal `not_found` for a thread, or a checkpoint by id, that is not there
 */
export async function readStateTree(
  services: Services,
  tenant: string,
  thread: string,
  at: { subgraphs: boolean; checkpointId?: string | undefined; checkpointNs?: string | undefined },
): Promise<StateTree> {
  const { checkpointId, checkpointNs = '' } = at;
  const view = await getState(services, tenant, thread, { checkpointId, checkpointNs });
  if (!view && checkpointId !== undefined) throw noCheckpoint(checkpointId);
  if (!view || !at.subgraphs) return { checkpointNs, view };
  return withSubgraphs(services, tenant, thread, { checkpointNs, view }, MAX_DEPTH);
}

async function withSubgraphs(
  services: Services,
  tenant: string,
  thread: string,
  state: { checkpointNs: string; view: CheckpointView },
  depth: number,
): Promise<StateTree> {
  const reader = services.checkpoints(tenant);
  const subgraphs = new Map<string, StateTree>();
  for (const task of depth > 0 ? state.view.tasks : []) {
    if (task.done || task.name === '') continue;
    const checkpointNs = taskNamespace(state.checkpointNs, task);
    const view = await reader.get(thread, { checkpointNs });
    if (!view) continue;
    const child = { checkpointNs, view };
    subgraphs.set(task.id, await withSubgraphs(services, tenant, thread, child, depth - 1));
  }
  return { ...state, subgraphs };
}
