import { type RunMetrics, registerRunMetrics } from '@millrace/shared/metrics';
import { Gauge, Registry } from 'prom-client';

/** What one worker process measures. */
export interface WorkerMetrics {
  registry: Registry;
  runs: RunMetrics;
}

/** @param attempts how many attempts are at work, read at each scrape */
export function workerMetrics(attempts: () => number): WorkerMetrics {
  const registry = new Registry();
  new Gauge({
    name: 'millrace_worker_attempts',
    help: 'Attempts at work in this worker.',
    registers: [registry],
    collect() {
      this.set(attempts());
    },
  });
  return { registry, runs: registerRunMetrics(registry) };
}
