import type { CheckpointView } from '@millrace/checkpoint-redis/reader';
import { Refusal } from '@millrace/shared/contract/error';
import type { ThreadRecord } from '@millrace/shared/contract/thread';
import type { Services } from '../services.ts';
import { getThread } from './threads.ts';

/** A thread's state at a checkpoint; undefined when the thread has none yet. */
export async function getState(
  services: Services,
  tenant: string,
  thread: string,
  at: { checkpointId?: string | undefined; checkpointNs?: string | undefined } = {},
): Promise<CheckpointView | undefined> {
  const record = await getThread(services, tenant, thread);
  const view = await services.checkpoints(tenant).get(thread, {
    ...(at.checkpointId !== undefined && { checkpointId: at.checkpointId }),
    ...(at.checkpointNs !== undefined && { checkpointNs: at.checkpointNs }),
  });
  return at.checkpointNs ? view : withEffects(services, record, view);
}

/** A thread's newest state: its values, and what it asks. */
export async function getHead(services: Services, record: ThreadRecord): Promise<CheckpointView | undefined> {
  return withEffects(services, record, await services.checkpoints(record.tenant).head(record.id));
}

/** Shows questions about effects where LangGraph's interrupts are: no checkpoint has them. */
async function withEffects(
  services: Services,
  { tenant, parked }: ThreadRecord,
  view: CheckpointView | undefined,
): Promise<CheckpointView | undefined> {
  if (!view || parked === undefined) return view;
  const chain = await services.store.read.chain(tenant, parked);
  const effects = (chain?.questions ?? []).filter((one) => one.task !== undefined);
  if (effects.length === 0) return view;
  const tasks = view.tasks.map((task) => {
    const asked = effects.filter((one) => one.task === task.id);
    const interrupts = [...task.interrupts, ...asked.map(({ id, value }) => ({ id, value }))];
    return asked.length === 0 ? task : { ...task, interrupts };
  });
  return { ...view, tasks };
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
  return services.lists.history(tenant, thread, {
    limit: page.limit,
    before: page.before,
    checkpointNs: page.checkpointNs,
    ...(page.metadata && { filter: page.metadata }),
  });
}
