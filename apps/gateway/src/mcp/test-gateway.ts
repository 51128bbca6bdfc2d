import { randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { serve } from '@hono/node-server';
import type { CatalogEntry } from '@millrace/shared/contract/catalog';
import { createLogger } from '@millrace/shared/logger';
import { Doorbell } from '@millrace/shared/queue';
import type { RedisConnection } from '@millrace/shared/redis';
import type { Claim, Finish, Retention } from '@millrace/shared/run-moves';
import { RunStore } from '@millrace/shared/run-store';
import type { TestRedis } from '@millrace/shared/test-redis';
import { Hono } from 'hono';
import type { CapacityLimits } from '../capacity.ts';
import type { HttpEnv } from '../http/env.ts';
import { problem } from '../http/problem.ts';
import { createServices, type Services } from '../services.ts';
import { type McpOptions, mcpRoutes } from './routes.ts';

/** A gateway that serves MCP and nothing else, over real HTTP. The tenant is what `x-tenant` says. For tests only. */
export interface TestGateway {
  url: URL;
  services: Services;
  /** Its connection, for tests that take it away. */
  redis: RedisConnection;
  drain: AbortController;
  close: () => Promise<void>;
}

export async function startTestGateway(
  test: TestRedis,
  {
    limits,
    retention,
    ...options
  }: Partial<McpOptions> & { limits?: CapacityLimits; retention?: Retention } = {},
): Promise<TestGateway> {
  const logger = createLogger('test', 'silent');
  const redis = test.connect();
  const { keys } = test;
  const services = createServices({
    redis,
    checkpointRedis: test.checkpoints,
    subscriber: test.subscriber(),
    keys,
    ...(limits && { limits }),
    ...(retention && { retention }),
    logger,
  });
  const drain = new AbortController();
  const app = new Hono<HttpEnv>();
  app.use(async (c, next) => {
    c.set('tenant', c.req.header('x-tenant') ?? 'acme');
    c.set('requestId', randomUUID());
    c.set('logger', logger);
    await next();
  });
  app.onError((error, c) => problem(c, error));
  app.route('/', mcpRoutes(services, { drain: drain.signal, ...options }));
  const server = await new Promise<ReturnType<typeof serve>>((resolve) => {
    const started = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, () => resolve(started));
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: new URL(`http://127.0.0.1:${port}/mcp`),
    services,
    redis,
    drain,
    close: async () => {
      drain.abort();
      const closed = new Promise((resolve) => server.close(resolve));
      // A client that gave a request up may have opened the next connection already and never used it.
      if ('closeAllConnections' in server) server.closeAllConnections();
      await closed;
      await services.close();
    },
  };
}

/** A run in the hands of a test that plays the worker. */
export interface TestRun {
  claim: Claim;
  emit: (name: string, data: unknown) => Promise<void>;
  finish: (end: Finish) => Promise<void>;
  isAskedToStop: () => Promise<boolean>;
}

/** Plays the worker: takes runs off the queue and does with them what the test says. For tests only. */
export class TestWorker {
  readonly #store: RunStore;
  readonly #doorbell: Doorbell;
  readonly #waiting: RedisConnection;
  readonly #list: string;

  constructor(test: TestRedis, queue = 'default') {
    this.#store = new RunStore(test.redis, { keys: test.keys });
    this.#doorbell = new Doorbell(test.redis, this.#store);
    this.#waiting = test.connect();
    this.#list = `${test.keys.queuePrefix()}:${queue}:wait`;
  }

  /** The next run that is ready; waits for one. */
  async next(): Promise<TestRun> {
    const popped = await this.#waiting.brpop(this.#list, 30);
    if (!popped) throw new Error('no run came');
    const runId = popped[1].slice(0, 36);
    const by = { worker: 'test', nonce: randomUUID(), leaseMs: 60_000, crashBudget: 2 };
    const claim = await this.#store.claim(runId, by, { token: 0, head: '' });
    if (claim.outcome !== 'claimed') throw new Error(`not claimed: ${claim.outcome}`);
    await this.#store.begin(runId, claim.lease, { base: '', head: '' });
    let ordinal = 1;
    const emit = async (name: string, data: unknown) => {
      await this.#store.emit(runId, claim.lease, ordinal, [{ name, data: JSON.stringify(data) }]);
      ordinal += 1;
    };
    await emit('metadata', { run_id: runId, attempt: claim.attempt });
    return {
      claim,
      emit,
      finish: async (end) => {
        const { job } = await this.#store.finish(runId, claim.lease, end);
        await this.#doorbell.ring([job]);
      },
      isAskedToStop: async () => (await this.#store.read.run(claim.tenant, runId))?.cancelRequested ?? false,
    };
  }

  /** Takes the next run and lets it succeed with this answer. */
  async answerNext(answer: string): Promise<TestRun> {
    const run = await this.next();
    await run.finish({ status: 'succeeded', answer });
    return run;
  }

  close(): Promise<void> {
    return this.#doorbell.close();
  }
}

export function catalogEntry(graph: string, more: Partial<CatalogEntry> = {}): CatalogEntry {
  return {
    graph,
    revision: '1',
    assistantId: randomUUID(),
    description: `The graph ${graph}`,
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
