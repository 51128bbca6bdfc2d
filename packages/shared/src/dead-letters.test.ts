import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { partitionOfThread } from './partition.ts';
import { RunStore } from './run-store.ts';
import { type TestRedis, testRedis } from './test-redis.ts';

const RETENTION_MS = 3600_000;

let test: TestRedis;
let store: RunStore;
beforeEach(async () => {
  test = await testRedis();
  store = new RunStore(test.redis, {
    keys: test.keys,
    retention: { runsMs: RETENTION_MS, runsKept: 0, threadsMs: RETENTION_MS },
  });
});
afterEach(() => test.close());

/** Ends a run of the thread as failed. */
async function fail(thread: string, code: 'graph_changed' | 'graph_error'): Promise<string> {
  const submitted = await store.submit({
    tenant: 't',
    thread,
    createThread: true,
    request: { kind: 'graph', graph: 'g', assistantId: 'g', input: {}, streamModes: [] },
    queue: 'default',
    multitask: 'enqueue',
  });
  if (submitted.outcome !== 'accepted') throw new Error(submitted.outcome);
  const by = { worker: 'w', nonce: randomUUID(), leaseMs: 60_000, crashBudget: 3 };
  const claim = await store.claim(submitted.runId, by, { token: 0, head: '' });
  if (claim.outcome !== 'claimed') throw new Error(claim.outcome);
  await store.finish(submitted.runId, claim.lease, { status: 'failed', error: { code, message: 'no' } });
  return submitted.runId;
}

it('lists what failed for no reason of its own, and nothing else', async () => {
  const dead = await fail('a', 'graph_changed');
  await fail('b', 'graph_error');
  const { items: runs, next } = await store.dead.list('t', { limit: 10 });
  expect([runs.map((run) => run.id), next]).toEqual([[dead], undefined]);
  expect((await store.dead.list('other', { limit: 10 })).items).toEqual([]);
  expect(await store.dead.count()).toBe(1);
});

it('gives every run once, page by page', async () => {
  const dead: string[] = [];
  for (let n = 0; n < 7; n++) dead.push(await fail(`thread-${n % 3}`, 'graph_changed'));
  const listed: string[] = [];
  let after: Parameters<typeof store.dead.list>[1]['after'];
  do {
    const page = await store.dead.list('t', { limit: 2, after });
    listed.push(...page.items.map((run) => run.id));
    after = page.next;
  } while (after);
  expect(listed).toEqual(dead.reverse());
});

it('forgets a run with its record, and is forgotten with the last one', async () => {
  const dead = await fail('a', 'graph_changed');
  const root = test.keys.root(partitionOfThread('a'));
  const left = await test.redis.pttl(test.keys.tenantDead(root, 't'));
  expect(left).toBeGreaterThan(0);
  expect(left).toBeLessThanOrEqual(RETENTION_MS);
  await test.redis.unlink(test.keys.run(root, dead));
  expect((await store.dead.list('t', { limit: 10 })).items).toEqual([]);
  expect(await store.dead.count()).toBe(0);
});
