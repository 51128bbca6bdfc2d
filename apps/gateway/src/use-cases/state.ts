import type { CheckpointView } from '@millrace/checkpoint-redis/reader';
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
