import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { RedisSaver } from '@millrace/checkpoint-redis';
import { Catalog } from '@millrace/shared/catalog';
import { mastersOf } from '@millrace/shared/redis';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { Client as ModernClient, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Client as OlderClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as OlderTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  catalogEntry,
  startTestGateway,
  type TestGateway,
  TestWorker,
} from '../apps/gateway/src/mcp/test-gateway.ts';
import { deleteThread } from '../apps/gateway/src/use-cases/threads.ts';

let test: TestRedis;
let worker: TestWorker;
let gateway: TestGateway;
/** Less than the 15 s after which a watch looks by itself, so that only what it is told can let a test pass. */
const TOLD_MS = 12_000;

const closing: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  test = await testRedis();
  worker = new TestWorker(test);
  gateway = await startTestGateway(test, { waitMs: 0, progressMs: 0 });
  await new Catalog(test.redis, test.keys).publish([
    catalogEntry('agent'),
    catalogEntry('sum', { conversational: false }),
  ]);
});

afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close().catch(() => undefined)));
  await gateway.close();
  await worker.close();
  await test.close();
});

async function modernClient(tenant = 'acme', url = gateway.url) {
  const client = new ModernClient({ name: 'test', version: '1' }, { versionNegotiation: { mode: 'auto' } });
  await client.connect(
    new StreamableHTTPClientTransport(url, { requestInit: { headers: { 'x-tenant': tenant } } }),
  );
  closing.push(() => client.close());
  return client;
}

async function olderClient(tenant = 'acme') {
  const client = new OlderClient({ name: 'test', version: '1' });
  const transport = new OlderTransport(gateway.url, { requestInit: { headers: { 'x-tenant': tenant } } });
  // The class is looser than the interface under exactOptionalPropertyTypes.
  await client.connect(transport as Parameters<typeof client.connect>[0]);
  closing.push(() => client.close());
  return client;
}

type Reader = Pick<ModernClient, 'readResource'> | Pick<OlderClient, 'readResource'>;

async function readJson(client: Reader, uri: string): Promise<Record<string, unknown>> {
  const { contents } = await client.readResource({ uri });
  const [only, ...more] = contents;
  expect(more).toEqual([]);
  expect(only).toMatchObject({ uri, mimeType: 'application/json' });
  return JSON.parse((only as { text: string }).text);
}

/** Starts a run and hands it to the worker that the test plays. */
async function started(client: ModernClient, message = 'Go', thread?: string) {
  await client.callTool({ name: 'agent', arguments: { message, ...(thread && { thread_id: thread }) } });
  return worker.next();
}

/** Stores a state as a worker does. */
async function putState(saver: RedisSaver, thread: string, values: Record<string, unknown>): Promise<void> {
  const versions = Object.fromEntries(Object.keys(values).map((channel) => [channel, 1]));
  const at = { configurable: { thread_id: thread, checkpoint_ns: '' } };
  const checkpoint = {
    v: 4,
    id: randomUUID(),
    ts: new Date().toISOString(),
    channel_values: values,
    channel_versions: versions,
    versions_seen: {},
  };
  const stored = await saver.put(at, checkpoint, { source: 'loop', step: 0, parents: {} }, versions);
  await saver.describe(stored, { tasks: [], channels: Object.keys(values) });
}

const asking = {
  status: 'interrupted',
  questions: [{ id: 'q1', kind: 'interrupt', node: 'ask', interruptId: 'i1', value: 'Really?' }],
} as const;

describe.each([
  ['2026-07-28', modernClient],
  ['2025-11-25', olderClient],
])('resources in %s', (revision, connect) => {
  it('are known by their templates', async () => {
    const client = await connect();
    const { resourceTemplates } = await client.listResourceTemplates();
    expect(resourceTemplates.map((one) => one.uriTemplate)).toEqual([
      'run://{run_id}',
      'run://{run_id}/events{?after}',
      'thread://{thread_id}',
    ]);
    expect(client.getServerCapabilities()?.resources).toEqual(
      revision === '2026-07-28' ? { subscribe: true } : {},
    );
  });

  it('are listed: of each chain the newest run, the latest first, and only the tenant’s', async () => {
    const client = await connect();
    const modern = await modernClient();
    const asked = await started(modern);
    await asked.finish({ ...asking, questions: [...asking.questions] });
    const done = await started(modern);
    await done.finish({ status: 'succeeded', answer: '4' });
    await started(await modernClient('globex'));
    const listed = async () => (await client.listResources()).resources;
    const entry = (runId: string, status: string) => ({
      uri: `run://${runId}`,
      name: runId,
      title: `Agent: ${status}`,
      mimeType: 'application/json',
      annotations: { lastModified: expect.stringMatching(/^\d{4}-/) },
    });
    const [first, second] = [done.claim.runId, asked.claim.runId];
    expect(await listed()).toEqual([entry(first, 'succeeded'), entry(second, 'interrupted')]);
    await client.callTool({ name: 'respond_run', arguments: { run_id: second, answer: 'yes' } });
    const answer = await worker.next();
    expect(await listed()).toEqual([entry(first, 'succeeded'), entry(answer.claim.runId, 'running')]);
    expect(await readJson(client, `run://${answer.claim.runId}`)).toMatchObject({ status: 'running' });
  });

  it('are listed as modified when what a run asked is closed', async () => {
    const client = await connect();
    const run = await started(await modernClient());
    await run.finish({ ...asking, questions: [...asking.questions] });
    const modified = async () => (await client.listResources()).resources[0]?.annotations?.lastModified ?? '';
    const asked = await modified();
    await client.callTool({ name: 'cancel_run', arguments: { run_id: run.claim.runId } });
    expect(Date.parse(await modified())).toBeGreaterThan(Date.parse(asked));
  });

  it('are a run, from its acceptance to its end', async () => {
    const client = await connect();
    const run = await started(await modernClient());
    const { runId, thread } = run.claim;
    expect(await readJson(client, `run://${runId}`)).toMatchObject({
      run_id: runId,
      thread_id: thread,
      graph: 'agent',
      status: 'running',
      attempt: 1,
      created_at: expect.stringMatching(/^\d{4}-/),
    });
    await run.finish({ status: 'succeeded', answer: '4' });
    expect(await readJson(client, `run://${runId}`)).toMatchObject({
      status: 'succeeded',
      answer: '4',
      ended_at: expect.stringMatching(/^\d{4}-/),
    });
  });

  it('are what a run asks, until it is answered', async () => {
    const client = await connect();
    const modern = await modernClient();
    const run = await started(modern);
    const { runId } = run.claim;
    await run.finish({ ...asking, questions: [...asking.questions] });
    expect(await readJson(client, `run://${runId}`)).toMatchObject({
      status: 'interrupted',
      questions: [{ id: 'q1', kind: 'interrupt', node: 'ask', value: 'Really?' }],
    });
    await modern.callTool({ name: 'respond_run', arguments: { run_id: runId, answer: 'yes' } });
    const { questions, ...answered } = await readJson(client, `run://${runId}`);
    expect(questions).toBeUndefined();
    const next = await worker.answerNext('Done');
    expect(answered).toMatchObject({ status: 'interrupted', followed_by: next.claim.runId });
  });

  it('are the events of a run, so far and after one of them', async () => {
    const client = await connect();
    const run = await started(await modernClient());
    const uri = `run://${run.claim.runId}/events`;
    await run.emit('updates', { plan: { todo: 1 } });
    const soFar = await readJson(client, uri);
    expect(soFar).toMatchObject({
      run_id: run.claim.runId,
      ended: false,
      more: false,
      events: [
        { event: 'metadata', data: { attempt: 1 } },
        { event: 'updates', data: { plan: { todo: 1 } } },
      ],
    });
    expect(await readJson(client, `${uri}?after=${soFar.last_id}`)).toMatchObject({
      events: [],
      last_id: soFar.last_id,
    });
    await run.finish({ status: 'succeeded', answer: 'x' });
    expect(await readJson(client, `${uri}?after=${soFar.last_id}`)).toMatchObject({
      ended: true,
      events: [{ event: 'end', data: { status: 'succeeded' } }],
    });
  });

  it('are no more events than one answer takes, and the rest after them', async () => {
    const client = await connect();
    const run = await started(await modernClient());
    const uri = `run://${run.claim.runId}/events`;
    for (let i = 0; i < 5; i += 1) await run.emit('custom', { i, text: 'x'.repeat(400_000) });
    const seen: unknown[] = [];
    let after = '';
    for (let more = true; more; ) {
      const page = await readJson(client, `${uri}?after=${after}`);
      seen.push(...(page.events as { data: { i?: number } }[]).map((one) => one.data.i));
      after = String(page.last_id);
      more = page.more === true;
    }
    expect(seen).toEqual([undefined, 0, 1, 2, 3, 4]);
  });

  it('are the messages of a thread, or its values', async () => {
    const client = await connect();
    const modern = await modernClient();
    const saver = new RedisSaver(test.checkpoints, { prefix: test.keys.checkpoints(), namespace: 'acme' });
    const messages = [{ type: 'human', content: 'Hi', id: 'm1' }];
    for (const [thread, values] of [
      ['talk:1@home', { messages }],
      ['numbers', { total: 3 }],
    ] as const) {
      const run = await started(modern, 'Hi', thread);
      await putState(saver, thread, values);
      await run.finish({ status: 'succeeded', answer: 'Hello' });
    }
    expect(await readJson(client, 'thread://talk%3A1%40home')).toMatchObject({
      thread_id: 'talk:1@home',
      status: 'idle',
      graph: 'agent',
      messages,
    });
    expect(await readJson(client, 'thread://numbers')).toMatchObject({ values: { total: 3 } });
  });

  it('are not there for another tenant, nor what never was', async () => {
    const stranger = await connect('globex');
    const run = await started(await modernClient(), 'Hi', 'talk');
    const { runId } = run.claim;
    for (const uri of [
      `run://${runId}`,
      `run://${runId}/events`,
      'thread://talk',
      'run://nonsense',
      'run://',
      'thread://%',
      `run://${runId}/events?after=x`,
      `run://${runId}/steps`,
      'file:///etc/passwd',
    ]) {
      await expect(stranger.readResource({ uri }), uri).rejects.toMatchObject({
        code: -32602,
        data: { uri },
      });
    }
  });

  it('say that Redis is away, and nothing more', async () => {
    const client = await connect();
    const gone = once(gateway.redis, 'end');
    gateway.redis.disconnect();
    await gone;
    await expect(
      client.readResource({ uri: 'run://00000000-0000-7000-8000-000000000000' }),
    ).rejects.toMatchObject({ code: -32603, data: { code: 'unavailable' } });
  });
});

it('is kept by clients for as long as it can be, and by nobody else', async () => {
  const client = await modernClient();
  const run = await started(client);
  const uri = `run://${run.claim.runId}`;
  expect(await client.readResource({ uri })).toMatchObject({ ttlMs: 0, cacheScope: 'private' });
  await run.finish({ status: 'succeeded', answer: 'x' });
  expect(await client.readResource({ uri })).toMatchObject({ ttlMs: 60_000, cacheScope: 'private' });
  expect(await client.listResourceTemplates()).toMatchObject({ cacheScope: 'public' });
});

describe('a subscription', () => {
  /** Counts what is heard of each resource. */
  function ears(client: ModernClient) {
    const heard: string[] = [];
    let wake = () => {};
    client.setNotificationHandler('notifications/resources/updated', ({ params }) => {
      heard.push(params.uri);
      wake();
    });
    return {
      heard,
      next: async (...uris: string[]) => {
        while (!uris.every((uri) => heard.includes(uri))) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
        heard.splice(0);
      },
    };
  }

  it(
    'hears of the run, of its events and of its thread, at another gateway too',
    async () => {
      const other = await startTestGateway(test, { progressMs: 0 });
      closing.push(() => other.close());
      const run = await started(await modernClient(), 'Hi', 'talk');
      const client = await modernClient('acme', other.url);
      const { next } = ears(client);
      const [uri, thread] = [`run://${run.claim.runId}`, 'thread://talk'];
      const events = `${uri}/events`;
      const subscription = await client.listen({ resourceSubscriptions: [uri, events, thread] });
      expect(subscription.honoredFilter).toEqual({ resourceSubscriptions: [uri, events, thread] });

      await run.emit('updates', { plan: {} });
      await next(events);
      await run.finish({ status: 'succeeded', answer: 'x' });
      await next(uri, events, thread);
      await subscription.close();
    },
    TOLD_MS,
  );

  it(
    'hears that what a run asks is asked no more',
    async () => {
      const client = await modernClient();
      const run = await started(client);
      const uri = `run://${run.claim.runId}`;
      const { next } = ears(client);
      await client.listen({ resourceSubscriptions: [uri] });
      await run.finish({ ...asking, questions: [...asking.questions] });
      await next(uri);
      await client.callTool({ name: 'respond_run', arguments: { run_id: run.claim.runId, answer: 'yes' } });
      await next(uri);
      expect(await readJson(client, uri)).toMatchObject({ followed_by: expect.any(String) });
    },
    TOLD_MS,
  );

  it(
    'hears of a run that begins in a thread at rest',
    async () => {
      const client = await modernClient();
      await (await started(client, 'Hi', 'talk')).finish({ status: 'succeeded', answer: 'x' });
      const { next } = ears(client);
      await client.listen({ resourceSubscriptions: ['thread://talk'] });
      const run = await started(client, 'Hi again', 'talk');
      await next('thread://talk');
      await run.finish({ status: 'succeeded', answer: 'y' });
      await next('thread://talk');
    },
    TOLD_MS,
  );

  it(
    'hears that what a thread waits for is closed, and that it is gone',
    async () => {
      const client = await modernClient();
      const run = await started(client, 'Hi', 'talk');
      await run.finish({ ...asking, questions: [...asking.questions] });
      const { next } = ears(client);
      await client.listen({ resourceSubscriptions: ['thread://talk'] });
      await client.callTool({ name: 'cancel_run', arguments: { run_id: run.claim.runId } });
      await next('thread://talk');
      expect(await readJson(client, 'thread://talk')).toMatchObject({ status: 'idle' });
      const deleted = deleteThread(gateway.services, 'acme', 'talk');
      await next('thread://talk');
      await (await worker.next()).finish({ status: 'succeeded' });
      await deleted;
      await expect(client.readResource({ uri: 'thread://talk' })).rejects.toMatchObject({ code: -32602 });
    },
    TOLD_MS,
  );

  it('is given for nothing that is not there, or is another tenant’s', async () => {
    const run = await started(await modernClient());
    const stranger = await modernClient('globex');
    const uri = `run://${run.claim.runId}`;
    const subscription = await stranger.listen({ resourceSubscriptions: [uri, 'run://nonsense'] });
    expect(subscription.honoredFilter).toEqual({});
    expect(await subscription.closed).toBe('graceful');
  });

  it('is given for a hundred resources at most', async () => {
    const client = await modernClient();
    const run = await started(client);
    const many = Array.from({ length: 150 }, (_, i) => `run://${run.claim.runId}/events?after=${i}-1`);
    const { honoredFilter, close } = await client.listen({ resourceSubscriptions: many });
    expect(honoredFilter.resourceSubscriptions).toHaveLength(100);
    await close();
  });

  it('ends in order when the gateway leaves', async () => {
    const client = await modernClient();
    const run = await started(client);
    const subscription = await client.listen({ resourceSubscriptions: [`run://${run.claim.runId}`] });
    gateway.drain.abort();
    expect(await subscription.closed).toBe('graceful');
  });

  it('leaves nothing behind', async () => {
    const client = await modernClient();
    const run = await started(client, 'Hi', 'talk');
    const subscription = await client.listen({
      resourceSubscriptions: [`run://${run.claim.runId}`, 'thread://talk'],
    });
    const watched = async () => {
      const all = mastersOf(test.redis).map((one) => one.pubsub('CHANNELS', `${test.keys.prefix}:*`));
      return (await Promise.all(all)).flat().filter((one) => /:(events|threads):/.test(String(one))).length;
    };
    expect(await watched()).toBe(2);
    await subscription.close();
    await vi.waitUntil(async () => (await watched()) === 0, { timeout: 30_000 });
  });

  it('is not there in the older revisions', async () => {
    const client = await olderClient();
    const run = await started(await modernClient());
    await expect(client.subscribeResource({ uri: `run://${run.claim.runId}` })).rejects.toMatchObject({
      code: -32601,
    });
  });
});
