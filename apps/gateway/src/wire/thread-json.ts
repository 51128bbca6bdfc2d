import type { CheckpointView } from '@millrace/checkpoint-redis/reader';
import type { ThreadRecord } from '@millrace/shared/contract/thread';
import { toWireJson } from '@millrace/shared/wire-json';
import { openInterrupts } from './state-json.ts';

/**
 * A thread as the Agent Server shows it, as JSON text.
 *
 * @param head the thread's newest state, whose values it shows; undefined when it has none
 */
export function threadText(record: ThreadRecord, head: CheckpointView | undefined): string {
  // A question of a chain that was cancelled or superseded is still in the checkpoint, and open no more.
  const asking = record.status === 'interrupted' ? (head?.tasks ?? []) : [];
  const interrupts = asking
    .map((task) => [task.id, openInterrupts(task)] as const)
    .filter(([, open]) => open.length > 0);
  return toWireJson({
    thread_id: record.id,
    created_at: new Date(record.createdAt).toISOString(),
    updated_at: new Date(record.updatedAt).toISOString(),
    state_updated_at: head?.createdAt ?? new Date(record.createdAt).toISOString(),
    metadata: record.metadata,
    status: record.status,
    config: {},
    values: head?.values ?? null,
    interrupts: Object.fromEntries(interrupts),
  });
}
