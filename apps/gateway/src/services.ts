import { randomUUID } from 'node:crypto';
import { raiseFence } from '@millrace/checkpoint-redis/fence';
import { CheckpointReader } from '@millrace/checkpoint-redis/reader';
import { removeThread } from '@millrace/checkpoint-redis/removal';
import { Catalog } from '@millrace/shared/catalog';
import { EventHub } from '@millrace/shared/event-hub';
import { EventReader } from '@millrace/shared/event-reader';
import type { Keys } from '@millrace/shared/keys';
import { ListReader } from '@millrace/shared/list-reader';
import type { Logger } from '@millrace/shared/logger';
import { Registry } from '@millrace/shared/metrics';
import { Doorbell } from '@millrace/shared/queue';
import { memoryUse, type RedisConnection } from '@millrace/shared/redis';
import { type RedisStatus, redisStatus } from '@millrace/shared/redis-status';
import type { Replication } from '@millrace/shared/replication';
import type { Lease, Retention } from '@millrace/shared/run-moves';
import { RunStore } from '@millrace/shared/run-store';
import { sharedSecret } from '@millrace/shared/shared-secret';
import { EXPIRED_FENCE_MS } from '@millrace/shared/thread-expiry';
import { noTracing, type Tracing } from '@millrace/shared/tracing';
import type { Redis } from 'ioredis';
import { Capacity, type CapacityLimits, NO_LIMITS } from './capacity.ts';
import { CatalogCache } from './catalog-cache.ts';
import { Lists } from './lists.ts';
import { type GatewayCounters, gatewayCounters } from './metrics.ts';
import { Replica } from './replica.ts';
import { TenantQueues } from './tenant-queues.ts';

/** What the use cases work with. Routes and MCP hand it on and never look inside. */
export interface Services {
  store: RunStore;
  doorbell: Doorbell;
  events: EventReader;
  catalog: CatalogCache;
  queues: TenantQueues;
  capacity: Capacity;
  counters: GatewayCounters;
  tracing: Tracing;
  /** What gateways sign with: the same for all of them. */
  signingSecret: () => Promise<string>;
  /** Asks each Redis there is how it is. */
  servers: { main: () => Promise<RedisStatus>; checkpoints?: () => Promise<RedisStatus> };
  /** The checkpoints of one tenant. */
  checkpoints: (tenant: string) => CheckpointReader;
  lists: Lists;
  /** Closes a thread of the checkpoint store to every lease below the token. */
  fence: (tenant: string, thread: string, token: number) => Promise<void>;
  /** Removes a thread's checkpoints. @returns the token that stands there when it is no lower than the lease's */
  removeCheckpoints: (tenant: string, thread: string, lease: Lease) => Promise<number | undefined>;
  logger: Logger;
  /** Closes what was opened here; the connections, but for the subscriber's, are the caller's. */
  close: () => Promise<void>;
}

/** Replicas of the Redis of runs, and of that of checkpoints. The same when both are one. */
export interface Replicas {
  main?: RedisConnection | undefined;
  checkpoints?: RedisConnection | undefined;
}

export interface ServiceParts {
  redis: RedisConnection;
  /** May be the same. */
  checkpointRedis: RedisConnection;
  /** Of role `subscriber`; handed over. */
  subscriber: Redis;
  /** Of role `optional`, where lists may be read. */
  replicas?: Replicas | undefined;
  keys: Keys;
  retention?: Retention;
  /** None for anybody unless told. */
  queues?: TenantQueues;
  /** What must have a run before it is accepted; nothing more than `redis` unless told. */
  replication?: Replication | undefined;
  /** None unless told. */
  limits?: CapacityLimits;
  /** Shown to nobody unless given. */
  counters?: GatewayCounters;
  /** None unless given. */
  tracing?: Tracing;
  logger: Logger;
}

export function createServices(parts: ServiceParts): Services {
  const {
    redis,
    checkpointRedis,
    subscriber,
    replicas = {},
    queues = new TenantQueues(),
    keys,
    retention,
    replication,
    limits = NO_LIMITS,
    counters = gatewayCounters(new Registry()),
    tracing = noTracing,
    logger,
  } = parts;
  const store = new RunStore(redis, { keys, replication, ...(retention && { retention }) });
  const doorbell = new Doorbell(redis, store);
  const hub = new EventHub(subscriber, redis, keys, logger);
  const prefix = keys.checkpoints();
  const checkpointsOn = (at: RedisConnection) => (tenant: string) =>
    new CheckpointReader(at, { prefix, namespace: tenant });
  const checkpoints = checkpointsOn(checkpointRedis);
  const replicaOf = (at: RedisConnection, primary: RedisConnection, variable: string) =>
    new Replica({
      redis: at,
      primary,
      variable,
      onRead: (source) => counters.listReads.inc({ source }),
      logger,
    });
  const main = replicas.main && {
    replica: replicaOf(replicas.main, redis, 'REDIS_READ_URL'),
    reader: new ListReader(replicas.main, keys),
  };
  return {
    store,
    doorbell,
    events: new EventReader(redis, keys, hub),
    catalog: new CatalogCache(new Catalog(redis, keys)),
    queues,
    capacity: new Capacity(
      {
        load: () => store.open.load(),
        ofTenant: (tenant) => store.open.ofTenant(tenant),
        // Without room for checkpoints no run gets to its end either.
        memory: async () =>
          Math.max(...(await Promise.all([...new Set([redis, checkpointRedis])].map(memoryUse)))),
      },
      limits,
      logger,
    ),
    counters,
    tracing,
    signingSecret: () => sharedSecret(redis, keys.signingSecret()),
    servers: {
      main: () => redisStatus(redis),
      ...(checkpointRedis !== redis && { checkpoints: () => redisStatus(checkpointRedis) }),
    },
    checkpoints,
    lists: new Lists(
      { runs: store.read, dead: store.dead, checkpoints },
      {
        main,
        checkpoints: replicas.checkpoints && {
          replica:
            replicas.checkpoints === replicas.main && main
              ? main.replica
              : replicaOf(replicas.checkpoints, checkpointRedis, 'CHECKPOINT_REDIS_READ_URL'),
          reader: checkpointsOn(replicas.checkpoints),
        },
      },
    ),
    fence: async (tenant, thread, token) => {
      const lease = { token, nonce: randomUUID() };
      await raiseFence(checkpointRedis, { prefix, namespace: tenant, threadId: thread }, lease);
    },
    removeCheckpoints: async (tenant, thread, lease) => {
      const ref = { prefix, namespace: tenant, threadId: thread };
      const removed = await removeThread(checkpointRedis, ref, lease, { fenceMs: EXPIRED_FENCE_MS });
      return removed.raised ? undefined : removed.token;
    },
    logger,
    close: async () => {
      hub.close();
      await doorbell.close();
    },
  };
}
