import { randomUUID } from 'node:crypto';
import { Catalog } from '@millrace/shared/catalog';
import type { CatalogEntry } from '@millrace/shared/contract/catalog';
import type { NewEvent } from '@millrace/shared/contract/event';
import { createLogger } from '@millrace/shared/logger';
import { Registry } from '@millrace/shared/metrics';
import type { Finish } from '@millrace/shared/run-moves';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { createApp } from './app.ts';
import { readConfig } from './config.ts';
import { gatewayCounters, registerGatewayGauges } from './metrics.ts';
import { createServices, type Services } from './services.ts';
import { TenantQueues } from './tenant-queues.ts';

/** A gateway without a port, on a namespace of Redis of its own. For tests only. */
export interface TestGateway {
  test: TestRedis;
  services: Services;
  registry: Registry;
  /** Aborting it is the gateway's leaving. */
  drain: AbortController;
  /** Sends a request; a body that is no string is sent as JSON. */
  send: (
    method: string,
    path: string,
    options?: { body?: unknown; headers?: Record<string, string> },
  ) => Promise<Response>;
  /** Plays the worker: takes the run, writes the events, and ends it. */
  work: (runId: string, end: Finish, events?: NewEvent[]) => Promise<void>;
  /** Takes the run and writes the events, and leaves it at work. */
  begin: (runId: string, events: NewEvent[], leaseMs?: number) => Promise<(end: Finish) => Promise<void>>;
  close: () => Promise<void>;
}

export function catalogEntry(graph: string, more: Partial<CatalogEntry> = {}): CatalogEntry {
  return {
    graph,
    revision: '1',
    assistantId: randomUUID(),
    description: '',
    queue: 'default',
    inputSchema: null,
    outputSchema: null,
    stateSchema: null,
    configSchema: null,
    contextSchema: null,
    conversational: true,
    drawing: {},
    publishedAt: 0,
    ...more,
  };
}

export async function testGateway(
  options: { env?: Record<string, string>; graphs?: CatalogEntry[] } = {},
): Promise<TestGateway> {
  const test = await testRedis();
  const { redis, keys } = test;
  const logger = createLogger('test', 'silent');
  const catalog = new Catalog(redis, keys);
  await catalog.publish(options.graphs ?? [catalogEntry('agent')]);
  const config = readConfig(options.env ?? {});
  const registry = new Registry();
  const services = createServices({
    redis,
    checkpointRedis: test.checkpoints,
    subscriber: test.subscriber(),
    keys,
    queues: new TenantQueues(config.tenantQueues),
    limits: config.limits,
    counters: gatewayCounters(registry),
    logger,
  });
  const { store } = services;
  registerGatewayGauges(registry, services, { tenants: config.metricsTenants });
  const drain = new AbortController();
  const app = createApp(services, {
    config,
    registry,
    readiness: { connected: true, drain: drain.signal },
  });

  const begin: TestGateway['begin'] = async (runId, events, leaseMs = 60_000) => {
    const by = { worker: 'w', nonce: randomUUID(), leaseMs, crashBudget: 3 };
    const claim = await store.claim(runId, by, { token: 0, head: '' });
    if (claim.outcome !== 'claimed') throw new Error(`not claimed: ${claim.outcome}`);
    await store.begin(runId, claim.lease, { base: '', head: '' });
    if (events.length > 0) await store.emit(runId, claim.lease, 1, events);
    return async (end) => {
      await store.finish(runId, claim.lease, end);
    };
  };

  return {
    test,
    services,
    registry,
    drain,
    begin,
    work: async (runId, end, events = []) => (await begin(runId, events))(end),
    send: async (method, path, { body, headers = {} } = {}) =>
      app.request(path, {
        method,
        headers,
        ...(body !== undefined && {
          body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
        }),
      }),
    close: async () => {
      drain.abort();
      await services.close();
      await test.close();
    },
  };
}
