import { randomUUID } from 'node:crypto';
import {
  type ChannelVersions,
  type Checkpoint,
  type CheckpointMetadata,
  emptyCheckpoint,
  uuid6,
} from '@langchain/langgraph-checkpoint';
import { Cluster, Redis } from 'ioredis';
import type { RedisSaver } from './saver.ts';
import type { RedisClient } from './scripts.ts';

/** A connection and a key space of its own for each test. */
export interface TestSpace {
  redis: RedisClient;
  prefix: string;
  /** Every key of the space. */
  keys(): Promise<string[]>;
  /** Bytes that all keys of the space take. */
  memory(): Promise<number>;
  /** Another connection to the same server. */
  connect(): RedisClient;
  /** Each server that keeps a part. */
  servers(): Redis[];
  close(): Promise<void>;
}

/** @param url `redis://…`, or `redis+cluster://:password@host:port,host:port` */
function open(url: string): RedisClient {
  const [, password = '', hosts] = /^redis\+cluster:\/\/(?::(.*)@)?(.*)$/.exec(url) ?? [];
  if (hosts === undefined) return new Redis(url);
  const nodes = hosts.split(',').map((at) => {
    const [host, port] = at.split(':');
    return { host, port: Number(port) };
  });
  return new Cluster(nodes, { redisOptions: { password } });
}

export function openSpace(): TestSpace {
  const url = process.env.TEST_CHECKPOINT_REDIS_URL || process.env.TEST_REDIS_URL;
  if (!url) throw new Error('Set TEST_REDIS_URL to a Redis that the tests may write to');
  const connections: RedisClient[] = [];
  const connect = () => {
    const redis = open(url);
    connections.push(redis);
    return redis;
  };
  const redis = connect();
  const prefix = `test-${randomUUID()}`;
  const servers = () => (redis instanceof Cluster ? redis.nodes('master') : [redis]);
  const keys = async () => {
    const found = new Set<string>();
    for (const server of servers()) {
      for await (const page of server.scanStream({ match: `${prefix}*`, count: 1000 })) {
        for (const key of page as string[]) found.add(key);
      }
    }
    return [...found].sort();
  };
  return {
    redis,
    prefix,
    keys,
    connect,
    servers,
    async memory() {
      let bytes = 0;
      for (const key of await keys()) bytes += Number(await redis.memory('USAGE', key, 'SAMPLES', 0));
      return bytes;
    },
    async close() {
      await Promise.all((await keys()).map((key) => redis.unlink(key)));
      await Promise.all(connections.map((connection) => connection.quit()));
    },
  };
}

export interface PutOptions {
  ns?: string;
  id?: string;
  parent?: string | undefined;
  values?: Record<string, unknown>;
  versions?: ChannelVersions;
  newVersions?: ChannelVersions;
  metadata?: Partial<CheckpointMetadata>;
}

let step = 0;

/** Puts a small checkpoint and gives its id. */
export async function putCheckpoint(
  saver: RedisSaver,
  threadId: string,
  options: PutOptions = {},
): Promise<string> {
  step += 1;
  const { ns = '', id = uuid6(step), parent, values = {}, metadata } = options;
  const versions = options.versions ?? Object.fromEntries(Object.keys(values).map((name) => [name, step]));
  const checkpoint: Checkpoint = {
    ...emptyCheckpoint(),
    id,
    channel_values: values,
    channel_versions: versions,
  };
  await saver.put(
    { configurable: { thread_id: threadId, checkpoint_ns: ns, checkpoint_id: parent } },
    checkpoint,
    { source: 'loop', step, parents: {}, ...metadata },
    options.newVersions ?? versions,
  );
  return id;
}

export async function listIds(saver: RedisSaver, threadId: string, ns = ''): Promise<string[]> {
  const ids: string[] = [];
  for await (const tuple of saver.list({ configurable: { thread_id: threadId, checkpoint_ns: ns } })) {
    ids.push(tuple.checkpoint.id);
  }
  return ids;
}
