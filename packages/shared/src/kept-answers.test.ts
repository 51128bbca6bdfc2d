import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Question, RunRequest } from './contract/run.ts';
import { EventHub } from './event-hub.ts';
import { createLogger } from './logger.ts';
import { RunStore } from './run-store.ts';
import { type TestRedis, testRedis } from './test-redis.ts';

let test: TestRedis;
let store: RunStore;

beforeEach(async () => {
  test = await testRedis();
  store = new RunStore(test.redis, { keys: test.keys });
});
afterEach(() => test.close());

const request: RunRequest = {
  kind: 'graph',
  graph: 'agent',
  assistantId: 'a',
  input: { x: 1 },
  streamModes: [],
};

const question = (id: string): Question => ({ id, kind: 'interrupt', node: 'ask', interruptId: `i-${id}` });

async function submit(more: Partial<RunRequest> = {}) {
  const result = await store.submit({
    tenant: 't',
    thread: 'talk',
    createThread: true,
    request: { ...request, ...more },
    queue: 'default',
    multitask: 'enqueue',
  });
  if (result.outcome !== 'accepted') throw new Error(`refused: ${result.outcome}`);
  return result;
}

/** A chain that asks these questions. */
async function parked(...ids: string[]): Promise<string> {
  const { runId } = await submit();
  await park(runId, ...ids);
  return runId;
}

async function park(runId: string, ...ids: string[]): Promise<void> {
  const by = { worker: 'w', nonce: randomUUID(), leaseMs: 60_000, crashBudget: 2 };
  const claim = await store.claim(runId, by, { token: 0, head: '' });
  if (claim.outcome !== 'claimed') throw new Error(`not claimed: ${claim.outcome}`);
  await store.finish(runId, claim.lease, { status: 'interrupted', questions: ids.map(question) });
}

it('answers are kept until nothing is left open, and the first to a question stays', async () => {
  const chain = await parked('q1', 'q2');
  expect(await store.answers.keep(chain, { q1: [], elsewhere: 1 })).toBeUndefined();
  expect((await store.read.chain('t', chain))?.kept).toEqual(['q1']);
  expect(await store.answers.keep(chain, { q1: 'changed', q2: null })).toEqual({ q1: [], q2: null });
  // Whoever was to hand them on has died: the next one gets them all the same.
  expect(await store.answers.keep(chain, {})).toEqual({ q1: [], q2: null });

  await submit({ input: undefined, answers: { q1: [], q2: null } });
  expect((await store.read.chain('t', chain))?.kept).toEqual([]);
  expect(await store.answers.keep(chain, { q1: 1 })).toBeUndefined();
  expect(await store.answers.keep('no id', { q1: 1 })).toBeUndefined();
});

it('a chain is seen as it stands at one moment', async () => {
  const first = await submit();
  const second = await submit();
  const view = await store.read.chainView('t', first.runId);
  expect(view).toMatchObject({
    chain: { id: first.runId, state: 'open', createdAt: expect.any(Number) },
    run: { id: first.runId, status: 'queued', retention: 24 * 3600_000 },
    before: 0,
    job: first.job,
  });
  expect(view?.expiresAt).toBeGreaterThan(view?.now ?? 0);
  expect(await store.read.chainView('t', second.runId)).toMatchObject({ before: 1 });
  expect(await store.read.chainView('other', first.runId)).toBeUndefined();
  expect(await store.read.chainView('t', randomUUID())).toBeUndefined();
  expect(await store.read.chainView('t', '9'.repeat(5000))).toBeUndefined();
});

it.each([
  ['an answer', () => submit({ input: undefined, answers: { q1: 1 } })],
  ['a newer message', () => submit()],
  ['an answer to one of its questions', (chain: string) => store.answers.keep(chain, { q1: 1 })],
  ['a cancel', (chain: string) => store.cancel(chain)],
])('who watches the run that asks hears of %s', async (_, change) => {
  const { runId: chain } = await submit();
  const subscriber = test.subscriber();
  await once(subscriber, 'ready');
  const hub = new EventHub(subscriber, test.redis, test.keys, createLogger('test', 'silent'));
  const watch = hub.watch(chain);
  await watch.ready;
  await park(chain, 'q1', 'q2');
  // A cluster hands messages on in its own time: the end of the run must have come before what is waited for.
  while (!(await watch.next({ timeoutMs: 10_000 }))?.ended);
  await change(chain);
  expect(await watch.next({ timeoutMs: 10_000 })).toEqual({ ended: false, resubscribed: false });
  hub.close();
});
