import {
  type RunMetrics,
  type RunsEnded,
  registerProcessMetrics,
  registerRunMetrics,
  registerRunsEnded,
} from '@millrace/shared/metrics';
import { Counter, Gauge, Registry } from 'prom-client';
import type { CacheKind, CacheResult } from './cache/cache-store.ts';
import { type ModelMetrics, registerModelMetrics } from './model-metrics.ts';
import type { ModelPrices } from './model-prices.ts';

/** What one worker process measures. */
export interface WorkerMetrics {
  registry: Registry;
  runs: RunMetrics;
  ended: RunsEnded;
  claimed: Counter<'graph'>;
  attempts: Counter<'graph' | 'result'>;
  crashes: Counter<'graph'>;
  models: ModelMetrics;
  checkpointWrite: (bytes: number) => void;
  cacheRequest: (cache: CacheKind, result: CacheResult) => void;
}

export interface WorkerMetricsOptions {
  /** Attempts at work, read at each scrape. */
  attempts: () => number;
  draining: () => boolean;
  /** Attempts that may be at work at once, of all queues. */
  slots: number;
  prices: ModelPrices | undefined;
  /** MCP servers that it was told of, read at each scrape. */
  mcp: () => { server: string; isUp: boolean }[];
}

export function workerMetrics(options: WorkerMetricsOptions): WorkerMetrics {
  const registry = new Registry();
  registerProcessMetrics(registry);
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  const counter = <T extends string>(name: string, help: string, labelNames: T[] = []) =>
    new Counter({ name, help, labelNames, registers: [registry] });
  gauge('millrace_worker_attempts', 'Attempts at work in this worker.', options.attempts);
  gauge('millrace_worker_slots', 'Attempts that may be at work in it at once.', () => options.slots);
  gauge('millrace_worker_draining', 'Whether it is leaving.', () => (options.draining() ? 1 : 0));
  new Gauge({
    name: 'millrace_mcp_upstream_up',
    help: 'Whether an MCP server whose tools are offered can be reached.',
    labelNames: ['server'],
    registers: [registry],
    collect() {
      for (const { server, isUp } of options.mcp()) this.set({ server }, isUp ? 1 : 0);
    },
  });
  const writes = counter(
    'millrace_checkpoint_writes_total',
    'Checkpoints, and results of tasks, that were stored.',
  );
  const bytes = counter('millrace_checkpoint_bytes_total', 'Bytes of these.');
  const cacheRequests = counter(
    'millrace_cache_requests_total',
    'Look-ups in the cache: of answers of models, and of what nodes returned.',
    ['cache', 'result'],
  );
  return {
    registry,
    runs: registerRunMetrics(registry),
    ended: registerRunsEnded(registry),
    claimed: counter('millrace_runs_claimed_total', 'Attempts that were begun.', ['graph']),
    attempts: counter('millrace_attempts_total', 'Attempts that are over, by how they came out.', [
      'graph',
      'result',
    ]),
    crashes: counter(
      'millrace_crashes_total',
      'Attempts that were found dead; they use up the crash budget.',
      ['graph'],
    ),
    models: registerModelMetrics(registry, options.prices),
    checkpointWrite: (size) => {
      writes.inc();
      bytes.inc(size);
    },
    cacheRequest: (cache, result) => cacheRequests.inc({ cache, result }),
  };
}
