import { mastersOf, type RedisConnection } from '@millrace/shared/redis';

/** Keys as a release left them: name, type, and members in the order Redis gives them, in base64. */
export type Dump = [name: string, type: string, members: string[]][];

/** Stands for the prefix in the names. */
const PREFIX = '<prefix>';

/** Everything stored under a prefix, but for BullMQ's, which is a matter of its own version. */
export async function dump(redis: RedisConnection, prefix: string): Promise<Dump> {
  const names: string[] = [];
  for (const server of mastersOf(redis)) {
    for await (const page of server.scanStream({ match: `*${prefix}*` })) names.push(...(page as string[]));
  }
  const kept = names.filter((name) => !name.startsWith(`{${prefix}}`)).sort();
  return Promise.all(
    kept.map(async (name): Promise<Dump[number]> => {
      const type = await redis.type(name);
      const members = (await readers[type]?.(redis, name)) ?? [];
      return [name.replaceAll(prefix, PREFIX), type, members.map((one) => one.toString('base64'))];
    }),
  );
}

const readers: Record<string, (redis: RedisConnection, name: string) => Promise<Buffer[]>> = {
  string: async (redis, name) => [(await redis.getBuffer(name)) ?? Buffer.alloc(0)],
  hash: async (redis, name) => (await redis.callBuffer('HGETALL', name)) as Buffer[],
  list: (redis, name) => redis.lrangeBuffer(name, 0, -1),
  set: (redis, name) => redis.smembersBuffer(name),
  zset: (redis, name) => redis.zrangeBuffer(name, 0, -1, 'WITHSCORES'),
  stream: async (redis, name) => {
    const entries = (await redis.xrangeBuffer(name, '-', '+')) as [Buffer, Buffer[]][];
    // All of Millrace's have as many fields.
    return entries.flatMap(([id, fields]) => [id, ...fields]);
  },
};

const STREAM_ENTRY = 7;

/** Stores them again, under another prefix. */
export async function restore(redis: RedisConnection, prefix: string, keys: Dump): Promise<void> {
  for (const [stored, type, texts] of keys) {
    const name = stored.replaceAll(PREFIX, prefix);
    const members = texts.map((one) => Buffer.from(one, 'base64'));
    if (type === 'string') await redis.set(name, members[0] ?? '');
    else if (type === 'hash') await redis.hset(name, ...members);
    else if (type === 'list') await redis.rpush(name, ...members);
    else if (type === 'set') await redis.sadd(name, ...members);
    else if (type === 'zset') {
      for (let at = 0; at < members.length; at += 2)
        await redis.zadd(name, String(members[at + 1]), members[at] ?? '');
    } else if (type === 'stream') {
      for (let at = 0; at < members.length; at += STREAM_ENTRY) {
        const [id, ...fields] = members.slice(at, at + STREAM_ENTRY);
        await redis.xadd(name, String(id), ...fields);
      }
    } else throw new Error(`${name}: a ${type} cannot be restored`);
  }
}
