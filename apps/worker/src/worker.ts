import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { RedisSaver } from '@millrace/checkpoint-redis';
import { Catalog } from '@millrace/shared/catalog';
import { Keys } from '@millrace/shared/keys';
import type { Logger } from '@millrace/shared/logger';
import { Doorbell, type JobData } from '@millrace/shared/queue';
import { checkServer, connect, whenReady } from '@millrace/shared/redis';
import { RunStore } from '@millrace/shared/run-store';
import { openTracing } from '@millrace/shared/tracing';
import { Worker as QueueWorker } from 'bullmq';
import { openCache } from './cache/open-cache.ts';
import { Company } from './company.ts';
import type { WorkerConfig } from './config.ts';
import { drain } from './drain.ts';
import { loadWorkerGraphs } from './graphs.ts';
import { flushLangSmith } from './langsmith.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { openMcpTools } from './mcp/mcp-tools.ts';
import { workerMetrics } from './metrics.ts';
import { startOpsServer } from './ops-server.ts';
import { PaceKeeper } from './pace-keeper.ts';
import { Presence } from './presence.ts';
import { processRun } from './process-run.ts';
import { queuesToServe } from './queues.ts';
import type { WorkerContext } from './worker-context.ts';

/**
 * BullMQ counts how often it thought a job's worker dead, and fails the job past this, without asking. Our crash
 * budget decides that instead.
 */
const NEVER = 1_000_000_000;

export interface RunningWorker {
  /** Where probes and metrics are. */
  url: string;
  /** Takes no new runs, finishes or hands back those at work, and leaves. Resolves when all is closed. */
  stop: () => Promise<void>;
}

/**
 * Starts a worker: loads the graphs, publishes them, and executes runs of their queues.
 *
 * Rejects, with everything closed again, when the graphs, the model or Redis cannot be used.
 */
export async function startWorker(config: WorkerConfig, logger: Logger): Promise<RunningWorker> {
  const closing: (() => Promise<unknown> | unknown)[] = [];
  const close = async () => {
    for (const step of closing.reverse()) await step();
  };
  try {
    const tracing = await openTracing(config.tracing, 'millrace-worker', logger);
    // Asked at the end: a project's own variables may switch it on.
    closing.push(() => Promise.all([tracing.close(), config.langsmith() ? flushLangSmith() : undefined]));
    const { graphs, model } = await loadWorkerGraphs(config);
    const mcp = await openMcpTools(config.mcpServers, logger);
    closing.push(() => mcp.close());
    const redis = connect(config.redis, 'worker', logger);
    closing.push(() => redis.disconnect());
    const own = config.checkpointRedis !== config.redis;
    const checkpointRedis = own ? connect(config.checkpointRedis, 'worker', logger) : redis;
    if (own) closing.push(() => checkpointRedis.disconnect());
    const subscriber = connect(config.redis, 'subscriber', logger);
    closing.push(() => subscriber.disconnect());
    await Promise.all([redis, checkpointRedis, subscriber].map(whenReady));
    const { allowEviction } = config;
    await checkServer(redis, { variable: 'REDIS_URL', allowEviction });
    if (own) await checkServer(checkpointRedis, { variable: 'CHECKPOINT_REDIS_URL', allowEviction });

    const keys = new Keys(config.prefix);
    const store = new RunStore(redis, { keys, retention: config.retention });
    const doorbell = new Doorbell(redis, store);
    closing.push(() => doorbell.close());
    const leases = new LeaseKeeper(store, config.leaseMs, logger);
    closing.push(() => leases.close());
    let stopping = false;
    const queues = queuesToServe(graphs, config.queues);
    const metrics = workerMetrics({
      attempts: () => leases.attempts.length,
      draining: () => stopping,
      slots: config.concurrency * queues.length,
      prices: config.modelPrices,
      mcp: () => mcp.up,
    });
    const cache =
      config.cache &&
      (await openCache(config.cache.redis, {
        ttlMs: config.cache.ttlMs,
        keys,
        logger,
        onRequest: metrics.cacheRequest,
      }));
    closing.push(() => cache?.close());
    const pace = new PaceKeeper(store.pace, queues, config.concurrency, logger);
    closing.push(() => pace.close());
    const checkpointPrefix = keys.checkpoints();
    const presence = new Presence(new Catalog(redis, keys), graphs, config.leaseMs);
    closing.push(() => presence.stop());
    let consumers: QueueWorker[] = [];
    const company = new Company({
      shut: () => {
        // Those at work step aside when their step is done, and go on elsewhere.
        for (const attempt of leases.attempts) attempt.drain();
        for (const consumer of consumers) void consumer.pause(true);
      },
      open: () => {
        for (const consumer of consumers) if (consumer.isPaused()) void consumer.resume();
      },
    });
    const worker: WorkerContext = {
      name: `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`,
      redis,
      checkpointRedis,
      checkpointPrefix,
      store,
      doorbell,
      saver: new RedisSaver(checkpointRedis, {
        prefix: checkpointPrefix,
        keepCheckpoints: config.checkpointsKept,
        onWrite: metrics.checkpointWrite,
      }),
      graphs: new Map(graphs.map((graph) => [graph.name, graph])),
      presence,
      leases,
      mcp,
      company,
      pace,
      limits: config,
      modelNote: model?.note,
      cache: cache?.store,
      metrics,
      tracing,
      logger,
    };

    subscriber.on('message', (_channel: string, runId: string) => leases.cancel(runId));
    await subscriber.subscribe(keys.cancelChannel());
    await Promise.all([presence.start(), pace.publish()]);
    // A Redis that came back empty would have no catalog.
    redis.on('ready', () => {
      presence.renew();
      void pace.publish();
    });

    consumers = queues.map((queue) => consume(worker, queue, config));
    const ops = await startOpsServer({ ...config, registry: metrics.registry, ready: () => !stopping });
    closing.push(() => ops.close());
    await Promise.all(consumers.map((consumer) => consumer.waitUntilReady()));
    logger.info(
      { url: ops.url, graphs: [...worker.graphs.keys()], queues, concurrency: config.concurrency },
      `worker ready; model: ${model?.description ?? "the graphs' own"}`,
    );
    return {
      url: ops.url,
      stop: async () => {
        stopping = true;
        presence.stop();
        company.end();
        await drain(consumers, leases, config.drainMs, logger);
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The one place where BullMQ meets LangGraph. */
function consume(worker: WorkerContext, queue: string, config: WorkerConfig): QueueWorker<JobData> {
  const consumer = new QueueWorker<JobData>(
    queue,
    // Returns nothing: BullMQ would keep what a job returns in its event stream.
    async (job) => {
      try {
        const taken = await processRun(worker, job.data.runId, queue);
        if (taken === 'not_now') await worker.store.outbox.ringAgain({ id: job.id ?? '', queue });
      } catch (error) {
        // Nothing was claimed, or the lease runs out: the run must be found again, and soon.
        await worker.store.outbox.ringAgain({ id: job.id ?? '', queue }).catch(() => undefined);
        throw error;
      }
    },
    {
      connection: worker.redis,
      prefix: worker.store.keys.queuePrefix(),
      concurrency: config.concurrency,
      // One value for all three: whoever is not heard of for a lease is taken for dead, everywhere.
      lockDuration: config.leaseMs,
      stalledInterval: config.leaseMs,
      maxStalledCount: NEVER,
    },
  );
  let lastError = '';
  consumer.on('error', (error) => {
    // BullMQ reports every attempt to reach Redis.
    if (error.message !== lastError) worker.logger.warn({ queue, err: error }, 'the queue reports an error');
    lastError = error.message;
  });
  consumer.on('failed', (job, error) => {
    worker.logger.error(
      { queue, runId: job?.data.runId, err: error },
      'a delivery failed in the worker itself',
    );
  });
  return consumer;
}
