import {
  once,
  type Registry,
  type RunsEnded,
  registerProcessMetrics,
  registerQueueMetrics,
  registerRunsEnded,
  scraped,
} from '@millrace/shared/metrics';
import type { RedisStatus } from '@millrace/shared/redis-status';
import { Counter, Gauge } from 'prom-client';
import type { Capacity, Load } from './capacity.ts';
import type { Services } from './services.ts';

/** Tenants that are shown by name, when they are shown at all. */
const LARGEST_TENANTS = 10;

/** What the gateway counts as it works. */
export interface GatewayCounters {
  /** Runs of graphs that were accepted; one that is sent again counts once. */
  submitted: Counter<'graph' | 'queue'>;
  ended: RunsEnded;
  streams: StreamMetrics;
  listReads: Counter<'source'>;
}

export interface StreamMetrics {
  open: Gauge;
  events: Counter;
}

export function gatewayCounters(registry: Registry): GatewayCounters {
  const registers = [registry];
  return {
    submitted: new Counter({
      name: 'millrace_runs_submitted_total',
      help: 'Runs that this gateway has accepted.',
      labelNames: ['graph', 'queue'],
      registers,
    }),
    ended: registerRunsEnded(registry),
    listReads: new Counter({
      name: 'millrace_list_reads_total',
      help: 'Lists and histories that a replica may answer, by who did.',
      labelNames: ['source'],
      registers,
    }),
    streams: {
      open: new Gauge({ name: 'millrace_streams_open', help: 'Event streams that clients read.', registers }),
      events: new Counter({
        name: 'millrace_stream_events_sent_total',
        help: 'Events sent over event streams.',
        registers,
      }),
    },
  };
}

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

/**
 * Registers everything that is read at a scrape: the process itself, and what stands in Redis, which every gateway shows
 * alike. What cannot be read within three seconds is absent.
 *
 * @param options.tenants whose backlogs are shown; none unless told
 */
export function registerGatewayGauges(
  registry: Registry,
  services: Services,
  options: { tenants?: string[] } = {},
): void {
  const { store, doorbell, logger } = services;
  registerProcessMetrics(registry);
  registerQueueMetrics(registry, { queues: () => queuesOf(services), doorbell, store, logger });
  registerCapacityMetrics(registry, services.capacity);
  registerBacklogMetrics(registry, services, options.tenants ?? []);
  registerDeadLetterMetrics(registry, services);
  registerServerMetrics(registry, services);
}

export async function queuesOf({ catalog, queues }: Pick<Services, 'catalog' | 'queues'>): Promise<string[]> {
  return queues.all(await catalog.list());
}

/** Gauges of what is at hand, and what was refused for it. */
function registerCapacityMetrics(registry: Registry, capacity: Capacity): void {
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

function registerBacklogMetrics(
  registry: Registry,
  { store, logger }: Pick<Services, 'store' | 'logger'>,
  tenants: string[],
): void {
  const collect = once(async (): Promise<void> => {
    for (const one of [held, byTenant]) one?.reset();
    const census = await scraped(() => store.open.census(tenants), logger);
    if (!census) return outbox.remove();
    held.set({ reason: 'thread' }, census.behind);
    held.set({ reason: 'delay' }, census.later);
    outbox.set(census.ready);
    const largest = tenants
      .map((tenant, i) => ({ tenant, runs: census.tenants[i] ?? 0 }))
      .sort((a, b) => b.runs - a.runs)
      .slice(0, LARGEST_TENANTS);
    for (const { tenant, runs } of largest) byTenant?.set({ tenant }, runs);
    const rest = largest.reduce((left, { runs }) => left - runs, census.open);
    byTenant?.set({ tenant: '_other' }, Math.max(0, rest));
  });
  const gauge = <T extends string>(name: string, help: string, labelNames: T[] = []) =>
    new Gauge({ name, help, labelNames, registers: [registry], collect });
  const held = gauge('millrace_held_runs', 'Runs that wait for something else than a worker.', ['reason']);
  const outbox = gauge('millrace_outbox_runs', 'Runs that are ready and that no worker has claimed.');
  const byTenant =
    tenants.length > 0
      ? gauge('millrace_tenant_open_runs', 'Runs that have not ended, of the largest tenants.', ['tenant'])
      : undefined;
}

function registerDeadLetterMetrics(
  registry: Registry,
  { store, logger }: Pick<Services, 'store' | 'logger'>,
): void {
  new Gauge({
    name: 'millrace_dead_letters',
    help: 'Runs that failed for a reason that is not their own, and were not run again.',
    registers: [registry],
    async collect() {
      const count = await scraped(() => store.dead.count(), logger);
      if (count === undefined) this.remove();
      else this.set(count);
    },
  });
}

const flag = (value: boolean) => (value ? 1 : 0);

/** `server` is `main`, and `checkpoints` where they have a Redis of their own; each may be a cluster. */
function registerServerMetrics(registry: Registry, { servers, logger }: Services): void {
  const collect = once(async () => {
    for (const [gauge] of gauges) gauge.reset();
    await Promise.all(
      Object.entries(servers).map(async ([server, read]) => {
        const status = await scraped(read, logger);
        if (status) for (const [gauge, value] of gauges) gauge.set({ server }, value(status));
      }),
    );
  });
  const gauge = (name: string, help: string, value: (status: RedisStatus) => number) =>
    [new Gauge({ name, help, labelNames: ['server'], registers: [registry], collect }), value] as const;
  const gauges = [
    gauge(
      'millrace_redis_memory_used_bytes',
      'Memory that Redis uses; of a cluster, its fullest master.',
      (one) => one.memoryUsedBytes,
    ),
    gauge(
      'millrace_redis_memory_max_bytes',
      'The maxmemory of the same; 0 without one.',
      (one) => one.memoryMaxBytes,
    ),
    gauge('millrace_redis_noeviction', 'Whether Redis drops nothing to make room.', (one) =>
      flag(one.noEviction),
    ),
    gauge('millrace_redis_aof_enabled', 'Whether the append-only file is on.', (one) => flag(one.aofEnabled)),
    gauge('millrace_redis_aof_last_write_ok', 'Whether it was last written without a fault.', (one) =>
      flag(one.aofLastWriteOk),
    ),
    gauge('millrace_redis_connected_clients', 'Connections to Redis.', (one) => one.connectedClients),
  ];
}
