import { threadIdOfKey, threadPattern } from './keys.ts';
import type { RedisClient } from './scripts.ts';

const SCAN_COUNT = 1000;

/** Every thread of a namespace that has a record, by SCAN over all masters; each once, in no order. */
export async function* scanThreads(
  redis: RedisClient,
  prefix: string | undefined,
  namespace: string | undefined,
): AsyncGenerator<string> {
  const seen = new Set<string>();
  const servers = 'nodes' in redis ? redis.nodes('master') : [redis];
  for (const server of servers) {
    // ioredis adds its keyPrefix to keys but neither to patterns nor does it take it off replies.
    const keyPrefix = server.options.keyPrefix ?? '';
    const pattern =
      keyPrefix.replace(/[\\*?[\]^]/g, (char) => `\\${char}`) + threadPattern(prefix, namespace);
    let cursor = '0';
    do {
      const [next, keys] = await server.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT);
      cursor = next;
      for (const key of keys) {
        const threadId = threadIdOfKey(key.slice(keyPrefix.length), prefix, namespace);
        if (threadId === undefined || seen.has(threadId)) continue;
        seen.add(threadId);
        yield threadId;
      }
    } while (cursor !== '0');
  }
}
