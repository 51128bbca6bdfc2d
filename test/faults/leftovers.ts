import type { Keys } from '@millrace/shared/keys';
import { PARTITIONS } from '@millrace/shared/partition';
import { mastersOf, type RedisConnection } from '@millrace/shared/redis';

/** What BullMQ keeps of a queue that is empty. */
const OF_A_QUEUE = /^\{[^}]+\}:[^:]+:(id|meta|events|marker|stalled-check)$/;

/**
 * Keys that nobody will ever come for, once all runs have ended: they do not expire, and belong neither to a thread
 * that does nor to a chain that waits for an answer there.
 */
export async function leftovers(
  redis: RedisConnection,
  checkpointRedis: RedisConnection,
  keys: Keys,
): Promise<string[]> {
  const roots = Array.from({ length: PARTITIONS }, (_, partition) => keys.root(partition));
  const expiring = new Set(
    (await Promise.all(roots.map((root) => redis.zrange(`${root}:expiry`, 0, -1)))).flat(),
  );
  // Both may be one.
  const lasting = [
    ...new Set([...(await lastingIn(redis, keys)), ...(await lastingIn(checkpointRedis, keys))]),
  ];
  const owned = await Promise.all(lasting.map((key) => isOwned(redis, keys, key, expiring)));
  return lasting.filter((_, i) => !owned[i]);
}

async function lastingIn(redis: RedisConnection, keys: Keys): Promise<string[]> {
  const lasting: string[] = [];
  for (const server of mastersOf(redis)) {
    for await (const page of server.scanStream({ match: `*${keys.prefix}*`, count: 1000 })) {
      const found = page as string[];
      const times = await Promise.all(found.map((key) => redis.pttl(key)));
      // -2 is gone meanwhile.
      lasting.push(...found.filter((_, i) => times[i] === -1));
    }
  }
  return lasting;
}

async function isOwned(
  redis: RedisConnection,
  keys: Keys,
  key: string,
  expiring: Set<string>,
): Promise<boolean> {
  if (key.startsWith(keys.catalog()) || OF_A_QUEUE.test(key)) return true;
  const checkpoints = `${keys.checkpoints()}:{`;
  if (key.startsWith(checkpoints)) return expiring.has(key.slice(checkpoints.length).split('}')[0] ?? '');
  const [, root = '', record, id = ''] = /^(.+:\{\d+\}):(\w+)(?::(.*))?$/.exec(key) ?? [];
  switch (record) {
    case 'expiry':
    case 'swept':
      return true;
    case 'thread':
    case 'lease':
    case 'runs':
    case 'finished':
      return expiring.has(id);
    case 'run':
    case 'events': {
      const [thread = '', chain] = await redis.hmget(keys.run(root, id), 'threadKey', 'chain');
      return chain !== null && isParked(redis, keys, root, thread ?? '', chain ?? '', expiring);
    }
    case 'chain': {
      const [tenant, thread] = await redis.hmget(key, 'tenant', 'thread');
      return isParked(redis, keys, root, `${tenant}/${thread}`, id, expiring);
    }
    default:
      return false;
  }
}

async function isParked(
  redis: RedisConnection,
  keys: Keys,
  root: string,
  thread: string,
  chain: string,
  expiring: Set<string>,
): Promise<boolean> {
  return expiring.has(thread) && (await redis.hget(keys.thread(root, thread), 'parked')) === chain;
}
