import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { RedisSaver } from '@millrace/checkpoint-redis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asking, ResourceScene, readJson } from './mcp-resource-scene.ts';

let scene: ResourceScene;
beforeEach(async () => {
  scene = await ResourceScene.start();
});
afterEach(() => scene.close());

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

describe.each([
  ['2026-07-28', (tenant?: string) => scene.modernClient(tenant)],
  ['2025-11-25', (tenant?: string) => scene.olderClient(tenant)],
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
    const modern = await scene.modernClient();
    const asked = await scene.started(modern);
    await asked.finish({ ...asking, questions: [...asking.questions] });
    const done = await scene.started(modern);
    await done.finish({ status: 'succeeded', answer: '4' });
    await scene.started(await scene.modernClient('globex'));
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
    const answer = await scene.worker.next();
    expect(await listed()).toEqual([entry(first, 'succeeded'), entry(answer.claim.runId, 'running')]);
    expect(await readJson(client, `run://${answer.claim.runId}`)).toMatchObject({ status: 'running' });
  });

  it('are listed as modified when what a run asked is closed', async () => {
    const client = await connect();
    const run = await scene.started(await scene.modernClient());
    await run.finish({ ...asking, questions: [...asking.questions] });
    const modified = async () => (await client.listResources()).resources[0]?.annotations?.lastModified ?? '';
    const asked = await modified();
    await client.callTool({ name: 'cancel_run', arguments: { run_id: run.claim.runId } });
    expect(Date.parse(await modified())).toBeGreaterThan(Date.parse(asked));
  });

  it('are a run, from its acceptance to its end', async () => {
    const client = await connect();
    const run = await scene.started(await scene.modernClient());
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
    const modern = await scene.modernClient();
    const run = await scene.started(modern);
    const { runId } = run.claim;
    await run.finish({ ...asking, questions: [...asking.questions] });
    expect(await readJson(client, `run://${runId}`)).toMatchObject({
      status: 'interrupted',
      questions: [{ id: 'q1', kind: 'interrupt', node: 'ask', value: 'Really?' }],
    });
    await modern.callTool({ name: 'respond_run', arguments: { run_id: runId, answer: 'yes' } });
    const { questions, ...answered } = await readJson(client, `run://${runId}`);
    expect(questions).toBeUndefined();
    const next = await scene.worker.answerNext('Done');
    expect(answered).toMatchObject({ status: 'interrupted', followed_by: next.claim.runId });
  });

  it('are the events of a run, so far and after one of them', async () => {
    const client = await connect();
    const run = await scene.started(await scene.modernClient());
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
    const run = await scene.started(await scene.modernClient());
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
    const modern = await scene.modernClient();
    const saver = new RedisSaver(scene.test.checkpoints, {
      prefix: scene.test.keys.checkpoints(),
      namespace: 'acme',
    });
    const messages = [{ type: 'human', content: 'Hi', id: 'm1' }];
    for (const [thread, values] of [
      ['talk:1@home', { messages }],
      ['numbers', { total: 3 }],
    ] as const) {
      const run = await scene.started(modern, 'Hi', thread);
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
    const run = await scene.started(await scene.modernClient(), 'Hi', 'talk');
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
    const gone = once(scene.gateway.redis, 'end');
    scene.gateway.redis.disconnect();
    await gone;
    await expect(
      client.readResource({ uri: 'run://00000000-0000-7000-8000-000000000000' }),
    ).rejects.toMatchObject({ code: -32603, data: { code: 'unavailable' } });
  });
});

it('is kept by clients for as long as it can be, and by nobody else', async () => {
  const client = await scene.modernClient();
  const run = await scene.started(client);
  const uri = `run://${run.claim.runId}`;
  expect(await client.readResource({ uri })).toMatchObject({ ttlMs: 0, cacheScope: 'private' });
  await run.finish({ status: 'succeeded', answer: 'x' });
  expect(await client.readResource({ uri })).toMatchObject({ ttlMs: 60_000, cacheScope: 'private' });
  expect(await client.listResourceTemplates()).toMatchObject({ cacheScope: 'public' });
});
