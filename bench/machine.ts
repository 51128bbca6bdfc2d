import { cpus, loadavg, platform, release } from 'node:os';
import type { Redis } from 'ioredis';

/** What one must know to judge the figures. */
export interface Machine {
  node: string;
  system: string;
  cpu: string;
  cores: number;
  redis: string;
  persistence: string;
  /** Of the last minute, before anything was measured. */
  load: number;
}

export async function machineFacts(redis: Redis): Promise<Machine> {
  const info = await redis.info();
  const read = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1] ?? '?';
  const [, fsync] = (await redis.config('GET', 'appendfsync')) as string[];
  return {
    node: process.version,
    system: `${platform()} ${release()}`,
    cpu: cpus()[0]?.model.trim() ?? '?',
    cores: cpus().length,
    redis: read('redis_version'),
    persistence: read('aof_enabled') === '1' ? `AOF, appendfsync ${fsync}` : 'none',
    load: loadavg()[0] ?? 0,
  };
}

export function describeMachine(facts: Machine): string {
  const { cores, cpu, system, node, redis, persistence, load } = facts;
  return [
    `${cores} cores (${cpu}), ${system}, Node ${node}`,
    `Redis ${redis}, ${persistence}; load before: ${load.toFixed(2)}`,
  ].join('\n');
}
