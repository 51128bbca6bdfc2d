import { mastersOf } from '@millrace/shared/redis';
import type { Client as ModernClient } from '@modelcontextprotocol/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startTestGateway } from '../apps/gateway/src/mcp/test-gateway.ts';
import { deleteThread } from '../apps/gateway/src/use-cases/threads.ts';
import { asking, ResourceScene, readJson } from './mcp-resource-scene.ts';

/** Less than the 15 s after which a watch looks by itself, so that only what it is told can let a test pass. */
const TOLD_MS = 12_000;

let scene: ResourceScene;
beforeEach(async () => {
  scene = await ResourceScene.start();
});
afterEach(() => scene.close());

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
      const other = await startTestGateway(scene.test, { progressMs: 0 });
      scene.closing.push(() => other.close());
      const run = await scene.started(await scene.modernClient(), 'Hi', 'talk');
      const client = await scene.modernClient('acme', other.url);
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
      const client = await scene.modernClient();
      const run = await scene.started(client);
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
      const client = await scene.modernClient();
      await (await scene.started(client, 'Hi', 'talk')).finish({ status: 'succeeded', answer: 'x' });
      const { next } = ears(client);
      await client.listen({ resourceSubscriptions: ['thread://talk'] });
      const run = await scene.started(client, 'Hi again', 'talk');
      await next('thread://talk');
      await run.finish({ status: 'succeeded', answer: 'y' });
      await next('thread://talk');
    },
    TOLD_MS,
  );

  it(
    'hears that what a thread waits for is closed, and that it is gone',
    async () => {
      const client = await scene.modernClient();
      const run = await scene.started(client, 'Hi', 'talk');
      await run.finish({ ...asking, questions: [...asking.questions] });
      const { next } = ears(client);
      await client.listen({ resourceSubscriptions: ['thread://talk'] });
      await client.callTool({ name: 'cancel_run', arguments: { run_id: run.claim.runId } });
      await next('thread://talk');
      expect(await readJson(client, 'thread://talk')).toMatchObject({ status: 'idle' });
      const deleted = deleteThread(scene.gateway.services, 'acme', 'talk');
      await next('thread://talk');
      await (await scene.worker.next()).finish({ status: 'succeeded' });
      await deleted;
      await expect(client.readResource({ uri: 'thread://talk' })).rejects.toMatchObject({ code: -32602 });
    },
    TOLD_MS,
  );

  it('is given for nothing that is not there, or is another tenant’s', async () => {
    const run = await scene.started(await scene.modernClient());
    const stranger = await scene.modernClient('globex');
    const uri = `run://${run.claim.runId}`;
    const subscription = await stranger.listen({ resourceSubscriptions: [uri, 'run://nonsense'] });
    expect(subscription.honoredFilter).toEqual({});
    expect(await subscription.closed).toBe('graceful');
  });

  it('is given for a hundred resources at most', async () => {
    const client = await scene.modernClient();
    const run = await scene.started(client);
    const many = Array.from({ length: 150 }, (_, i) => `run://${run.claim.runId}/events?after=${i}-1`);
    const { honoredFilter, close } = await client.listen({ resourceSubscriptions: many });
    expect(honoredFilter.resourceSubscriptions).toHaveLength(100);
    await close();
  });

  it('ends in order when the gateway leaves', async () => {
    const client = await scene.modernClient();
    const run = await scene.started(client);
    const subscription = await client.listen({ resourceSubscriptions: [`run://${run.claim.runId}`] });
    scene.gateway.drain.abort();
    expect(await subscription.closed).toBe('graceful');
  });

  it('leaves nothing behind', async () => {
    const client = await scene.modernClient();
    const run = await scene.started(client, 'Hi', 'talk');
    const subscription = await client.listen({
      resourceSubscriptions: [`run://${run.claim.runId}`, 'thread://talk'],
    });
    const watched = async () => {
      const all = mastersOf(scene.test.redis).map((one) =>
        one.pubsub('CHANNELS', `${scene.test.keys.prefix}:*`),
      );
      return (await Promise.all(all)).flat().filter((one) => /:(events|threads):/.test(String(one))).length;
    };
    expect(await watched()).toBe(2);
    await subscription.close();
    await vi.waitUntil(async () => (await watched()) === 0, { timeout: 30_000 });
  });

  it('is not there in the older revisions', async () => {
    const client = await scene.olderClient();
    const run = await scene.started(await scene.modernClient());
    await expect(client.subscribeResource({ uri: `run://${run.claim.runId}` })).rejects.toMatchObject({
      code: -32601,
    });
  });
});
