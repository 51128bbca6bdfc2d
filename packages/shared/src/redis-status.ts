import type { Redis } from 'ioredis';
import { mastersOf, parseInfo, type RedisConnection } from './redis.ts';

/** How a Redis is, by one command that managed services allow as well. Of a cluster, what is worst among its masters. */
export interface RedisStatus {
  /** Both of the master that is fullest. */
  memoryUsedBytes: number;
  /** 0 without a limit. */
  memoryMaxBytes: number;
  /** It refuses writes rather than drop runs. */
  noEviction: boolean;
  aofEnabled: boolean;
  /** Whether the last write to the append-only file went well; true without one. */
  aofLastWriteOk: boolean;
  /** Of all masters together. */
  connectedClients: number;
}

/** @throws Error when Redis does not answer, one master of a cluster included */
export async function redisStatus(redis: RedisConnection): Promise<RedisStatus> {
  const servers = await Promise.all(mastersOf(redis).map(statusOf));
  const [first, ...others] = servers.sort((a, b) => fullness(b) - fullness(a));
  if (!first) throw new Error('no master of the cluster is known');
  return {
    ...first,
    noEviction: servers.every((one) => one.noEviction),
    aofEnabled: servers.every((one) => one.aofEnabled),
    aofLastWriteOk: servers.every((one) => one.aofLastWriteOk),
    connectedClients: others.reduce((sum, one) => sum + one.connectedClients, first.connectedClients),
  };
}

/** Where none has a limit, the largest is the fullest. */
function fullness({ memoryUsedBytes, memoryMaxBytes }: RedisStatus): number {
  return memoryMaxBytes > 0 ? memoryUsedBytes / memoryMaxBytes : memoryUsedBytes / Number.MAX_SAFE_INTEGER;
}

async function statusOf(server: Redis): Promise<RedisStatus> {
  const info = parseInfo(await server.info());
  const number = (name: string) => Number(info.get(name) ?? 0);
  return {
    memoryUsedBytes: number('used_memory'),
    memoryMaxBytes: number('maxmemory'),
    noEviction: info.get('maxmemory_policy') === 'noeviction',
    aofEnabled: number('aof_enabled') === 1,
    aofLastWriteOk: (info.get('aof_last_write_status') ?? 'ok') === 'ok',
    connectedClients: number('connected_clients'),
  };
}
