import { randomUUID } from 'node:crypto';
import { Refusal } from '@millrace/shared/contract/error';
import type { JsonObject } from '@millrace/shared/contract/json';
import type { ThreadRecord } from '@millrace/shared/contract/thread';
import { derivedThreadId } from '@millrace/shared/partition';
import type { Services } from '../services.ts';
import { hashOf, idempotencyConflict } from './idempotency.ts';
import { submitRun } from './submit-run.ts';

/** @throws Refusal `not_found`, also for another tenant's */
export async function getThread(services: Services, tenant: string, thread: string): Promise<ThreadRecord> {
  const record = await services.store.read.thread(tenant, thread);
  if (!record) throw new Refusal('not_found', `There is no thread "${thread}"`, { field: 'thread_id' });
  return record;
}

/** @throws Refusal `thread_exists` when it does and `ifExists` is not `do_nothing` */
export async function createThread(
  services: Services,
  tenant: string,
  options: {
    thread?: string | undefined;
    metadata?: JsonObject | undefined;
    ifExists: 'raise' | 'do_nothing';
    idempotencyKey?: string | undefined;
  },
): Promise<ThreadRecord> {
  const derived = options.thread === undefined && options.idempotencyKey !== undefined;
  const thread =
    options.thread ?? (derived ? derivedThreadId(tenant, options.idempotencyKey ?? '') : randomUUID());
  const metadata = options.metadata ?? {};
  const hash = derived ? hashOf(metadata) : '';
  const outcome = await services.store.threads.create(tenant, thread, metadata, hash);
  if (outcome === 'conflict') throw idempotencyConflict();
  if (outcome === 'deleting' || (outcome === 'exists' && options.ifExists === 'raise')) {
    const why = outcome === 'exists' ? 'exists' : 'is being deleted';
    throw new Refusal('thread_exists', `The thread "${thread}" ${why}`, { field: 'thread_id' });
  }
  return getThread(services, tenant, thread);
}

/** Merges into a thread's metadata. */
export async function updateThread(
  services: Services,
  tenant: string,
  thread: string,
  metadata: JsonObject,
): Promise<ThreadRecord> {
  const record = await getThread(services, tenant, thread);
  await services.store.threads.setMetadata(tenant, thread, { ...record.metadata, ...metadata });
  return getThread(services, tenant, thread);
}

/**
 * Deletes a thread: it is gone for every reader at once, its waiting runs end, the one at work is stopped, and a
 * worker removes its data in the thread's next turn.
 *
 * @throws Refusal `not_found`, or `no_catalog`: without a graph there is nobody to delete it
 */
export async function deleteThread(services: Services, tenant: string, thread: string): Promise<void> {
  const record = await getThread(services, tenant, thread);
  const entries = await services.catalog.list();
  const graph = typeof record.metadata.graph_id === 'string' ? record.metadata.graph_id : undefined;
  const [any] = entries;
  const assistant = entries.find((one) => one.graph === graph)?.graph ?? any?.graph ?? 'agent';
  await submitRun(services, {
    tenant,
    assistant,
    kind: 'delete_thread',
    thread,
    streamModes: [],
  });
}

/**
 * Removes a thread that was not used for its time, with all that belongs to it. No worker is needed: it has no run.
 *
 * @returns false when it is in use again, or another gateway removes it
 */
export async function expireThread(services: Services, tenant: string, thread: string): Promise<boolean> {
  const { expiry } = services.store;
  const nonce = randomUUID();
  for (let standing = 0; ; ) {
    const lease = await expiry.begin(tenant, thread, nonce, standing);
    if (!lease) return false;
    const higher = await services.removeCheckpoints(tenant, thread, lease);
    if (higher === undefined) return expiry.end(tenant, thread, lease);
    standing = higher;
  }
}
