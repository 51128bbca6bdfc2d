import type { Registry } from '@millrace/shared/metrics';
import { Counter } from 'prom-client';

export interface SweeperMetrics {
  rung: Counter;
  expired: Counter;
  failures: Counter;
}

export function registerSweeperMetrics(registry: Registry): SweeperMetrics {
  const counter = (name: string, help: string) => new Counter({ name, help, registers: [registry] });
  return {
    rung: counter(
      'millrace_sweeper_rung_total',
      'Runs put into the queue by the sweeper, not by who submitted them.',
    ),
    expired: counter('millrace_sweeper_expired_threads_total', 'Unused threads whose deletion was begun.'),
    failures: counter('millrace_sweeper_failures_total', 'Rounds that broke off.'),
  };
}
