import { setTimeout as sleep } from 'node:timers/promises';
import { testRedis } from '@millrace/shared/test-redis';
import { beforeEach, describe, expect, it } from 'vitest';
import { type EffectsScene, effectsScene, says } from './effects-scene.ts';
import { holdingProxy } from './holding-proxy.ts';

let scene: EffectsScene;
const sceneOf = effectsScene();
beforeEach(() => {
  scene = sceneOf();
});

describe('an idempotency key', () => {
  it('of a tool call is the same after kill -9, and another for each call and each run', async () => {
    scene.ledger.hold('notify ann');
    const input = says('notify ann, notify bob');
    const { runId, thread } = await scene.client.submit('agent', { input, ...scene.configured() });
    await scene.ledger.called('notify bob');
    await scene.killIn('notify ann');
    expect(await scene.client.end(runId)).toMatchObject({ status: 'succeeded', attempt: 2 });
    const [ann, again] = scene.ledger.keys('notify ann');
    expect(ann).toEqual(expect.stringMatching(/^[\w-]{43}$/));
    expect(again).toBe(ann);
    expect(new Set([ann, ...scene.ledger.keys('notify bob')]).size).toBe(2);

    expect((await scene.client.run('agent', { input, ...scene.configured() }, { thread })).status).toBe(
      'succeeded',
    );
    expect(new Set(scene.ledger.keys('notify ann')).size).toBe(2);
  });

  it('of a plain node, in a sub-graph too, is the same after kill -9', async () => {
    scene.ledger.hold('inner');
    const { runId } = await scene.client.submit('nodes', scene.configured());
    await scene.killIn('inner');
    expect((await scene.client.end(runId)).status).toBe('succeeded');
    const [key, again] = scene.ledger.keys('inner');
    expect(again).toBe(key);
    expect(scene.ledger.keys('first')).not.toContain(key);
  });

  it('of a functional graph and of its tasks is the same after kill -9', async () => {
    scene.ledger.hold('two');
    const { runId } = await scene.client.submit('functional', scene.configured());
    await scene.killIn('two');
    expect((await scene.client.end(runId)).status).toBe('succeeded');
    const keys = ['entry', 'one', 'two'].map((step) => new Set(scene.ledger.keys(step)));
    expect(keys.map((one) => one.size)).toEqual([1, 1, 1]);
    expect(new Set(keys.flatMap((one) => [...one])).size).toBe(3);
    expect(scene.ledger.count('entry')).toBe(2);
  });

  it('cannot change because the checkpoint that it comes from was never stored', async () => {
    const checkpoints = await testRedis({ oneServer: true });
    const proxy = await holdingProxy(checkpoints.url, 'the input that is on its way');
    try {
      await scene.replaceWorker({ CHECKPOINT_REDIS_URL: proxy.url });
      const input = { text: 'the input that is on its way' };
      const { runId } = await scene.client.submit('functional', { input, ...scene.configured() });
      await proxy.held;
      // As long as it lasts, the task it is for must not begin.
      await sleep(500);
      expect(scene.ledger.count('entry')).toBe(0);
      proxy.release();
      expect((await scene.client.end(runId)).status).toBe('succeeded');
    } finally {
      await proxy.close();
      await scene.replaceWorker();
      await checkpoints.close();
    }
  });
});
