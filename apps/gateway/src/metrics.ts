import type { DeadLetters } from '@millrace/shared/dead-letters';
import type { Registry } from '@millrace/shared/metrics';
import { Counter, Gauge } from 'prom-client';
import type { Capacity, Load } from './capacity.ts';

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
    expired: counter('millrace_sweeper_expired_threads_total', 'Unused threads that were removed.'),
    failures: counter('millrace_sweeper_failures_total', 'Rounds that broke off.'),
  };
}

/** Absent while Redis cannot be read. */
export function registerDeadLetterMetrics(registry: Registry, dead: DeadLetters): void {
  new Gauge({
    name: 'millrace_dead_letters',
    help: 'Runs that failed for a reason that is not their own, and were not run again.',
    registers: [registry],
    async collect() {
      const count = await dead.count().catch(() => undefined);
      if (count === undefined) this.remove();
      else this.set(count);
    },
  });
}

/** Gauges of what is at hand, absent while Redis cannot be read, and what was refused for it. */
export function registerCapacityMetrics(registry: Registry, capacity: Capacity): void {
  const gauge = (name: string, help: string, read: (load: Load) => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      async collect() {
        const load = await capacity.load();
        if (load) this.set(read(load));
        else this.remove();
      },
    });
  gauge('millrace_open_runs', 'Runs that have not ended.', (load) => load.runs);
  gauge('millrace_open_bytes', 'Bytes of the requests of runs that have not ended.', (load) => load.bytes);
  gauge('millrace_redis_memory_ratio', 'Used part of maxmemory; 0 without one.', (load) => load.memory);
  new Counter({
    name: 'millrace_shed_total',
    help: 'Submits refused for want of room, by what was full.',
    labelNames: ['reason'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [reason, count] of capacity.shed) this.inc({ reason }, count);
    },
  });
}
