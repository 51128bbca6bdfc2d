import { readEvents } from '@millrace/shared/event-reader';
import type { Keys } from '@millrace/shared/keys';
import type { RedisConnection } from '@millrace/shared/redis';

const PAGE = 500;

/**
 * Ids of messages that were streamed, in part or whole, and are not in the thread's state: an attempt died before
 * it could store them, and the next one will say them anew.
 */
export async function unfinishedMessages(
  redis: RedisConnection,
  keys: Keys,
  runId: string,
  values: Record<string, unknown>,
): Promise<string[]> {
  const streamed = new Set<string>();
  for (let after = 0; ; ) {
    const page = await readEvents(redis, keys, runId, after, PAGE);
    for (const { name, data } of page) {
      if (name !== 'messages' && !name.startsWith('messages|')) continue;
      const [message] = JSON.parse(data) as [{ id?: unknown }?];
      if (typeof message?.id === 'string') streamed.add(message.id);
    }
    const last = page.at(-1);
    if (!last || page.length < PAGE) break;
    after = last.seq;
  }
  const stored = Array.isArray(values.messages) ? (values.messages as { id?: unknown }[]) : [];
  for (const { id } of stored) if (typeof id === 'string') streamed.delete(id);
  return [...streamed];
}
