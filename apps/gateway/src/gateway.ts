import { setTimeout as sleep } from 'node:timers/promises';
import { Keys } from '@millrace/shared/keys';
import { Lifecycle } from '@millrace/shared/lifecycle';
import type { Logger } from '@millrace/shared/logger';
import { Registry } from '@millrace/shared/metrics';
import {
  checkServer,
  connect,
  type RedisConnection,
  type RedisTarget,
  whenReady,
} from '@millrace/shared/redis';
import { isRedisFault } from '@millrace/shared/redis-fault';
import { Replication } from '@millrace/shared/replication';
import { openTracing } from '@millrace/shared/tracing';
import { createApp, createOpsApp } from './app.ts';
import type { GatewayConfig } from './config.ts';
import { listen } from './http/listen.ts';
import { gatewayCounters, registerGatewayGauges, registerSweeperMetrics } from './metrics.ts';
import { createServices, type Replicas, type Services } from './services.ts';
import { Sweeper } from './sweeper.ts';
import { TenantQueues } from './tenant-queues.ts';

const RETRY_MS = 200;

export interface Gateway {
  /** Where it listens, as `http://127.0.0.1:2024`. */
  url: string;
  /** Of probes, metrics and scaling, when they have a port of their own. */
  opsUrl: string | undefined;
  /** Lets requests finish within the grace, cuts streams so that their clients go elsewhere, and closes all. */
  stop: () => Promise<void>;
}

/**
 * Starts a gateway. It listens at once, and answers 503 until Redis is there; resolves when it is ready.
 *
 * @param life stops the gateway, also while it is starting, and what is left of it when it cannot start; without
 *   one, only `stop` does, and nothing is left
 * @throws Error when the address cannot be had, Redis is not fit for use, or `life` ends meanwhile
 */
export async function startGateway(
  config: GatewayConfig,
  logger: Logger,
  life?: Lifecycle,
): Promise<Gateway> {
  const own = life ?? new Lifecycle(logger, config.drainMs);
  try {
    return await start(config, logger, own);
  } catch (error) {
    if (!life) await own.stop('could not start');
    throw error;
  }
}

async function start(config: GatewayConfig, logger: Logger, life: Lifecycle): Promise<Gateway> {
  const tracing = await openTracing(config.tracing, 'millrace-gateway', logger);
  life.onStop('tracing', tracing.close);
  // What is opened from here on nobody would close.
  if (life.stopping) throw new Error('the gateway was closed while it started');
  const drain = new AbortController();
  const open = (target: RedisTarget) => {
    const redis = connect(target, 'gateway', logger);
    life.onStop('redis (gateway)', () => redis.disconnect());
    return redis;
  };
  const redis = open(config.redis);
  const checkpointRedis = config.checkpointRedis === config.redis ? redis : open(config.checkpointRedis);
  const subscriber = connect(config.redis, 'subscriber', logger);
  life.onStop('redis (subscriber)', () => subscriber.disconnect());
  const replication =
    config.waitReplicas > 0 ? new Replication(open(config.redis), config.waitReplicas) : undefined;
  const replicas = openReplicas(config, logger, life);
  const keys = new Keys(config.prefix);
  const registry = new Registry();
  const services = createServices({
    redis,
    checkpointRedis,
    subscriber,
    replicas,
    queues: new TenantQueues(config.tenantQueues),
    keys,
    retention: config.retention,
    replication,
    limits: config.limits,
    counters: gatewayCounters(registry),
    tracing,
    logger,
  });
  life.onStop('services', services.close);

  registerGatewayGauges(registry, services, { tenants: config.metricsTenants });
  const readiness = { connected: false, drain: drain.signal };
  const app = createApp(services, { config, registry, readiness });
  const ops = await startOps(config, services, life, { registry, readiness });
  const server = await listen(app, config);
  life.onStop('http', () => server.close(config.drainMs));
  // Streams and long polls would otherwise hold the requests open for as long as the grace allows.
  life.onStop('streams', () => drain.abort());
  logger.info({ url: server.url, opsUrl: ops }, `listening on ${server.url}`);

  const { allowEviction } = config;
  for (const one of new Set([redis, replication?.redis ?? redis])) {
    await whenFit(one, { variable: 'REDIS_URL', allowEviction }, life);
  }
  if (checkpointRedis !== redis) {
    await whenFit(checkpointRedis, { variable: 'CHECKPOINT_REDIS_URL', allowEviction }, life);
  }
  readiness.connected = true;
  const sweeper = new Sweeper(services, registerSweeperMetrics(registry));
  sweeper.start();
  life.onStop('sweeper', () => sweeper.stop());
  return { url: server.url, opsUrl: ops, stop: () => life.stop('told to') };
}

/** Nobody waits for them: while they are away the primaries answer. */
function openReplicas({ replicas }: GatewayConfig, logger: Logger, life: Lifecycle): Replicas {
  const open = (target: RedisTarget | undefined) => {
    if (!target) return undefined;
    const redis = connect(target, 'optional', logger);
    life.onStop('redis (replica)', () => redis.disconnect());
    return redis;
  };
  const main = open(replicas.main);
  return { main, checkpoints: replicas.checkpoints === replicas.main ? main : open(replicas.checkpoints) };
}

async function startOps(
  config: GatewayConfig,
  services: Services,
  life: Lifecycle,
  options: Parameters<typeof createOpsApp>[1],
): Promise<string | undefined> {
  if (config.opsPort === undefined) return undefined;
  const { host, opsPort: port, stallMs } = config;
  const server = await listen(createOpsApp(services, options), { host, port, stallMs });
  life.onStop('probes', () => server.close(0));
  return server.url;
}

/** Waits for Redis, however long it takes; what it is not fit for will not get better by waiting. */
async function whenFit(
  redis: RedisConnection,
  options: Parameters<typeof checkServer>[1],
  life: Lifecycle,
): Promise<void> {
  for (;;) {
    await whenReady(redis);
    try {
      return await checkServer(redis, options);
    } catch (error) {
      if (!isRedisFault(error) || life.stopping) throw error;
      await sleep(RETRY_MS);
    }
  }
}
