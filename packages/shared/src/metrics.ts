import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Logger } from './logger.ts';
import type { Demand, Doorbell } from './queue.ts';
import type { RunStore } from './run-store.ts';

export { Registry };

/** A scrape is answered without the queues rather than late. */
const COLLECT_TIMEOUT_MS = 3_000;

const RUN_BUCKETS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600];
const HTTP_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60];

/** What a scheduler sees before the first worker has told which queues there are. */
const FIRST_QUEUE = 'default';

/**
 * Registers the queues' gauges, read from Redis at each scrape. While Redis cannot be read they are absent, and
 * `millrace_redis_up` is 0.
 *
 * @param queues the names of all queues; none before any worker has ever been here, which counts as a demand of 1,
 *   so that the first one is started
 */
export function registerQueueMetrics(
  registry: Registry,
  source: { queues: () => Promise<string[]>; doorbell: Doorbell; store: RunStore; logger: Logger },
): void {
  const collect = once(read);
  const gauge = <T extends string>(name: string, help: string, labelNames: T[]) =>
    new Gauge({ name, help, labelNames, registers: [registry], collect });

  const runs = gauge('millrace_queue_runs', 'Runs that are ready or executing.', ['queue', 'state']);
  const demand = gauge('millrace_queue_demand', 'Ready and executing runs; autoscaling follows this.', [
    'queue',
  ]);
  const oldest = gauge('millrace_queue_oldest_wait_seconds', 'Age of the longest waiting run.', ['queue']);
  const up = gauge('millrace_redis_up', 'Whether Redis answered this scrape.', []);

  const show = (queue: string, one: Demand) => {
    runs.set({ queue, state: 'waiting' }, one.waiting);
    runs.set({ queue, state: 'active' }, one.active);
    runs.set({ queue, state: 'unrung' }, one.unrung);
    demand.set({ queue }, one.demand);
    oldest.set({ queue }, one.oldestWaitSeconds);
  };

  async function read(): Promise<void> {
    for (const one of [runs, demand, oldest]) one.reset();
    const found = await scraped(() => readDemand(source), source.logger);
    up.set(found ? 1 : 0);
    if (found?.length === 0) demand.set({ queue: FIRST_QUEUE }, 1);
    for (const [queue, one] of found ?? []) show(queue, one);
  }
}

async function readDemand(source: {
  queues: () => Promise<string[]>;
  doorbell: Doorbell;
  store: RunStore;
}): Promise<[string, Demand][]> {
  const [known, unrung] = await Promise.all([source.queues(), source.store.outbox.unrung()]);
  const queues = [...new Set([...known, ...unrung.keys()])];
  return Promise.all(
    queues.map(
      async (queue): Promise<[string, Demand]> => [
        queue,
        await source.doorbell.demand(queue, unrung.get(queue) ?? 0),
      ],
    ),
  );
}

/** Work that several ask for at the same time is done once: prom-client collects all gauges together. */
export function once<T>(work: () => Promise<T>): () => Promise<T> {
  let current: Promise<T> | undefined;
  return () => {
    current ??= work().finally(() => {
      current = undefined;
    });
    return current;
  };
}

/**
 * What Redis says, for a scrape; undefined when it does not answer in time. The work itself goes on, unheard: a command
 * that was sent cannot be taken back.
 */
export async function scraped<T>(work: () => Promise<T>, logger: Logger): Promise<T | undefined> {
  try {
    return await within(COLLECT_TIMEOUT_MS, work());
  } catch (error) {
    logger.debug({ err: error }, 'a scrape goes without some of its metrics');
    return undefined;
  }
}

function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

let ofProcess: Registry | undefined;

/**
 * Adds what prom-client tells of any Node process: CPU, memory, garbage collection, event loop. A process has one set of
 * these, however many registries show it.
 */
export function registerProcessMetrics(registry: Registry): void {
  if (!ofProcess) {
    ofProcess = new Registry();
    collectDefaultMetrics({ register: ofProcess });
    // Gauges with the names of counters, the sums of others that stay.
    for (const what of ['handles', 'requests', 'resources']) {
      ofProcess.removeSingleMetric(`nodejs_active_${what}_total`);
    }
  }
  for (const { name } of ofProcess.getMetricsAsArray()) {
    const metric = ofProcess.getSingleMetric(name);
    if (metric) registry.registerMetric(metric);
  }
}

export type RunsEnded = Counter<'graph' | 'status'>;

/** Runs of graphs that this process has brought to an end: a worker most, a gateway those cancelled before their turn. */
export function registerRunsEnded(registry: Registry): RunsEnded {
  return new Counter({
    name: 'millrace_runs_ended_total',
    help: 'Runs that came to their end here.',
    labelNames: ['graph', 'status'],
    registers: [registry],
  });
}

/** What a worker tells of the runs it ends. Times are in seconds. */
export interface RunMetrics {
  /** From the submit to the first attempt; `status` is the one the run ended with. */
  wait: Histogram<'graph' | 'status'>;
  /** From the first attempt to the end. */
  duration: Histogram<'graph' | 'status'>;
}

export function registerRunMetrics(registry: Registry): RunMetrics {
  const histogram = (name: string, help: string) =>
    new Histogram({
      name,
      help,
      labelNames: ['graph', 'status'],
      buckets: RUN_BUCKETS,
      registers: [registry],
    });
  return {
    wait: histogram('millrace_run_wait_seconds', 'From the submit to the first attempt.'),
    duration: histogram('millrace_run_duration_seconds', 'From the first attempt to the end.'),
  };
}

export interface HttpMetrics {
  requests: Counter<'method' | 'route' | 'status'>;
  /** To the end of the answer's head; a stream goes on from there. In seconds. */
  duration: Histogram<'method' | 'route' | 'status'>;
}

export function registerHttpMetrics(registry: Registry): HttpMetrics {
  const labelNames = ['method', 'route', 'status'] as const;
  return {
    requests: new Counter({
      name: 'http_requests_total',
      help: 'Requests answered, by route pattern.',
      labelNames,
      registers: [registry],
    }),
    duration: new Histogram({
      name: 'http_request_duration_seconds',
      help: 'Until the head of the answer is ready.',
      labelNames,
      buckets: HTTP_BUCKETS,
      registers: [registry],
    }),
  };
}
