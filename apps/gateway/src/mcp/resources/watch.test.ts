import type { RunRequest } from '@millrace/shared/contract/run';
import { partitionOfThread } from '@millrace/shared/partition';
import type { Submission } from '@millrace/shared/run-moves';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type TestGateway, testGateway } from '../../gateway-testing.ts';
import { watchResource } from './watch.ts';

/** Less than the 15 s after which a watch looks by itself, so that only what it is told can let a test pass. */
const TOLD_MS = 12_000;

let gateway: TestGateway;
let over: AbortController;
beforeEach(async () => {
  gateway = await testGateway();
  over = new AbortController();
});
afterEach(async () => {
  over.abort();
  await gateway.close();
});

const request: RunRequest = { kind: 'graph', graph: 'agent', assistantId: 'a', input: {}, streamModes: [] };

async function submit(more: Partial<Submission> = {}): Promise<string> {
  const result = await gateway.services.store.submit({
    tenant: 't',
    thread: 'talk',
    createThread: true,
    request,
    queue: 'default',
    multitask: 'enqueue',
    ...more,
  });
  if (result.outcome !== 'accepted') throw new Error(result.outcome);
  return result.runId;
}

async function watch(uri: string) {
  const watched = await watchResource(gateway.services, 't', uri, 0);
  if (!watched) throw new Error(`there is no ${uri}`);
  return watched.changes(over.signal);
}

it(
  'looks again after a fault of Redis, without being told once more',
  async () => {
    const run = await submit();
    const end = await gateway.begin(run, []);
    const changes = await watch(`run://${run}`);
    const { read } = gateway.services.store;
    const real = read.run.bind(read);
    let faults = 0;
    read.run = async () => {
      read.run = real;
      faults += 1;
      throw new Error('Connection is closed.');
    };
    const change = changes.next();
    await end({ status: 'succeeded' });
    expect(await change).toEqual({ done: false, value: undefined });
    expect(faults).toBe(1);
  },
  TOLD_MS,
);

it(
  'hears of a thread whose run has come due',
  async () => {
    await submit({ afterMs: 60_000 });
    const changes = await watch('thread://talk');
    const change = changes.next();
    const { redis, keys } = gateway.test;
    const partition = partitionOfThread('talk');
    const due = `${keys.root(partition)}:due`;
    for (const run of await redis.zrange(due, 0, -1)) await redis.zadd(due, 0, run);
    await gateway.services.store.sweep(partition, { limit: 10, ringAfterMs: 60_000 });
    expect(await change).toEqual({ done: false, value: undefined });
  },
  TOLD_MS,
);

it(
  'hears that what a run asked is asked again',
  async () => {
    const { store } = gateway.services;
    const asking = await submit();
    const question = { id: 'q', kind: 'interrupt' as const, node: 'ask', interruptId: 'i', value: 'sure?' };
    await gateway.work(asking, { status: 'interrupted', questions: [question] });
    const answer = { ...request, input: undefined, answers: { q: 'yes' }, resume: { i: 'yes' } };
    const answering = await submit({ request: answer });
    const changes = await watch(`run://${asking}`);
    const change = changes.next();
    await store.cancel(answering, 'rollback');
    expect(await change).toEqual({ done: false, value: undefined });
  },
  TOLD_MS,
);

it(
  'hears that a thread is gone as soon as nobody can read it',
  async () => {
    await gateway.work(await submit(), { status: 'succeeded' });
    const changes = await watch('thread://talk');
    const change = changes.next();
    const { redis, keys } = gateway.test;
    const expiry = `${keys.root(partitionOfThread('talk'))}:expiry`;
    for (const thread of await redis.zrange(expiry, 0, -1)) await redis.zadd(expiry, 0, thread);
    // Its checkpoints are not removed yet.
    expect(await gateway.services.store.expiry.begin('t', 'talk', 'n', 0)).toBeDefined();
    expect(await change).toEqual({ done: false, value: undefined });
    expect(await changes.next()).toEqual({ done: true, value: undefined });
  },
  TOLD_MS,
);
