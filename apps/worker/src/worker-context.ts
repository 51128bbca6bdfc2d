import type { RedisSaver } from '@millrace/checkpoint-redis';
import type { Logger } from '@millrace/shared/logger';
import type { Doorbell } from '@millrace/shared/queue';
import type { RedisConnection } from '@millrace/shared/redis';
import type { RunStore } from '@millrace/shared/run-store';
import type { Tracing } from '@millrace/shared/tracing';
import type { CacheStore } from './cache/cache-store.ts';
import type { Company } from './company.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import type { LoadedGraph } from './loader/loaded-graph.ts';
import type { McpTools } from './mcp/mcp-tools.ts';
import type { WorkerMetrics } from './metrics.ts';
import type { PaceKeeper } from './pace-keeper.ts';
import type { Presence } from './presence.ts';

/** What one worker process works with. */
export interface WorkerContext {
  /** Unique to this process. */
  name: string;
  redis: RedisConnection;
  /** Where checkpoints live; may be the same server. */
  checkpointRedis: RedisConnection;
  /** Key prefix of the checkpoints. */
  checkpointPrefix: string;
  store: RunStore;
  doorbell: Doorbell;
  saver: RedisSaver;
  graphs: Map<string, LoadedGraph>;
  presence: Presence;
  leases: LeaseKeeper;
  mcp: McpTools;
  company: Company;
  pace: PaceKeeper;
  limits: {
    leaseMs: number;
    /** Crashes at one checkpoint before a run is given up. */
    crashBudget: number;
    runTimeoutMs: number;
    /** Steps of a run. */
    recursionLimit: number;
  };
  /** Which model answers, when that must be said with every result. */
  modelNote: string | undefined;
  /** Undefined when nothing is cached. */
  cache: CacheStore | undefined;
  metrics: WorkerMetrics;
  tracing: Tracing;
  logger: Logger;
}
