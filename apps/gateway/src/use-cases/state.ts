import type { CheckpointView } from '@millrace/checkpoint-redis/reader';
import { Refusal } from '@millrace/shared/contract/error';
import type { Services } from '../services.ts';
import { getThread } from './threads.ts';

/** A thread's state at a checkpoint; undefined when the thread has none yet. */
export async function getState(
  services: Services,
  tenant: string,
  thread: string,
  at: { checkpointId?: string | undefined; checkpointNs?: string | undefined } = {},
): Promise<CheckpointView | undefined> {
  await getThread(services, tenant, thread);
  return services.checkpoints(tenant).get(thread, {
    ...(at.checkpointId !== undefined && { checkpointId: at.checkpointId }),
    ...(at.checkpointNs !== undefined && { checkpointNs: at.checkpointNs }),
  });
}

/**
 * Makes sure that a thread has a checkpoint: LangGraph starts from nothing where it finds none, and the conversation
 * so far would be gone from sight.
 *
 * @throws Refusal `not_found`
 */
export async function requireCheckpoint(
  services: Services,
  tenant: string,
  thread: string,
  checkpointId: string,
): Promise<void> {
  if (!(await getState(services, tenant, thread, { checkpointId }))) throw noCheckpoint(checkpointId);
}

export function noCheckpoint(checkpointId: string): Refusal {
  return new Refusal('not_found', `There is no checkpoint "${checkpointId}"; old ones are not kept`, {
    field: 'checkpoint_id',
  });
}

/** A thread's states, newest first. */
export async function getHistory(
  services: Services,
  tenant: string,
  thread: string,
  page: {
    limit: number;
    before?: string | undefined;
    metadata?: Record<string, unknown> | undefined;
    checkpointNs?: string | undefined;
  },
): Promise<CheckpointView[]> {
  await getThread(services, tenant, thread);
  const states: CheckpointView[] = [];
  const found = services.checkpoints(tenant).list(thread, {
    limit: page.limit,
    before: page.before,
    checkpointNs: page.checkpointNs,
    ...(page.metadata && { filter: page.metadata }),
  });
  for await (const state of found) states.push(state);
  return states;
}
