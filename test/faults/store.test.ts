import { randomUUID } from 'node:crypto';
import type { RunRequest } from '@millrace/shared/contract/run';
import { createLogger } from '@millrace/shared/logger';
import { PARTITIONS, partitionOfThread } from '@millrace/shared/partition';
import { connect, whenReady } from '@millrace/shared/redis';
import type { Submission } from '@millrace/shared/run-moves';
import { RunStore } from '@millrace/shared/run-store';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TcpProxy } from './tcp-proxy.ts';

let test: TestRedis;
let store: RunStore;

beforeEach(async () => {
  test = await testRedis();
  store = new RunStore(test.redis, { keys: test.keys });
});
afterEach(() => test.close());

const request: RunRequest = { kind: 'graph', graph: 'g', assistantId: 'g', input: {}, streamModes: [] };
const submission = (thread: string, more: Partial<Submission> = {}): Submission => ({
  tenant: 't',
  thread,
  createThread: true,
  request,
  queue: 'default',
  multitask: 'enqueue',
  ...more,
});

async function accept(thread: string, more: Partial<Submission> = {}, by = store): Promise<string> {
  const result = await by.submit(submission(thread, more));
  if (result.outcome !== 'accepted') throw new Error(`refused: ${result.outcome}`);
  return result.runId;
}

async function claim(runId: string, leaseMs = 60_000) {
  const by = { worker: 'w', nonce: randomUUID(), leaseMs, crashBudget: 3 };
  const result = await store.claim(runId, by, { token: 0, head: '' });
  if (result.outcome !== 'claimed') throw new Error(`not claimed: ${result.outcome}`);
  return result;
}

async function finish(runId: string) {
  const { lease } = await claim(runId);
  return store.finish(runId, lease, { status: 'succeeded' });
}

/** Sweeps every partition until nothing changes any more; all jobs found. */
async function sweepAll(times = 2): Promise<string[]> {
  const found: string[] = [];
  for (let round = 0; round < times; round++) {
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const { jobs } = await store.sweep(partition, { limit: 100, ringAfterMs: 0 });
      await store.outbox.rung(jobs);
      found.push(...jobs.map((job) => job.id.slice(0, 36)));
    }
  }
  return found;
}

/** Loses the next reply with this text in it. */
function loseReplyWith(route: TcpProxy, text: string): void {
  route.loseReplies((reply) => route.lost === 0 && reply.includes(text));
}

describe('a submit whose reply was lost, and that ioredis sends again', () => {
  let route: TcpProxy;
  let gateway: ReturnType<typeof connect>;
  let lossy: RunStore;

  beforeEach(async () => {
    await test.close();
    test = await testRedis({ oneServer: true });
    store = new RunStore(test.redis, { keys: test.keys });
    route = await TcpProxy.start(test.url);
    gateway = connect({ url: route.url }, 'gateway', createLogger('test', 'silent'));
    await whenReady(gateway);
    lossy = new RunStore(gateway, { keys: test.keys });
    // The server knows the script now, so that the lost reply is the submit's own.
    await accept('warm', {}, lossy);
  });
  afterEach(async () => {
    gateway.disconnect();
    await route.close();
  });

  it('counts once, and does not jam its thread', async () => {
    loseReplyWith(route, 'accepted');
    const runId = await accept('x', {}, lossy);
    expect(route.lost).toBe(1);
    await finish(runId);
    expect((await store.read.thread('t', 'x'))?.status).toBe('idle');
    // What comes after must not wait for a run that is over.
    const next = await store.submit(submission('x'));
    expect(next).toMatchObject({ outcome: 'accepted', job: { queue: 'default' } });
  });

  it('is not refused as busy by itself', async () => {
    loseReplyWith(route, 'accepted');
    expect((await lossy.submit(submission('x', { multitask: 'reject' }))).outcome).toBe('accepted');
  });

  it('does not cancel itself', async () => {
    loseReplyWith(route, 'accepted');
    const runId = await accept('x', { multitask: 'interrupt' }, lossy);
    const { lease } = await claim(runId);
    await store.finish(runId, lease, { status: 'succeeded' });
    const key = test.keys.events(test.keys.root(partitionOfThread('x')), runId);
    const ends = (await test.redis.xrange(key, '-', '+')).filter(([, fields]) => fields.includes('end'));
    expect(ends).toHaveLength(1);
  });

  it('is not told that its answer came too late', async () => {
    const asked = await accept('x');
    const { lease } = await claim(asked);
    const questions = [{ id: 'q', kind: 'interrupt' as const, node: 'n' }];
    await store.finish(asked, lease, { status: 'interrupted', questions });
    loseReplyWith(route, 'accepted');
    const answer = { ...request, input: undefined, answers: { q: 'yes' } };
    expect((await lossy.submit(submission('x', { request: answer }))).outcome).toBe('accepted');
  });
});

describe('the token that shuts out a holder that is gone is not lost with the reply', () => {
  let route: TcpProxy;
  let asking: ReturnType<typeof connect>;
  let lossy: RunStore;

  beforeEach(async () => {
    await test.close();
    test = await testRedis({ oneServer: true });
    store = new RunStore(test.redis, { keys: test.keys });
    route = await TcpProxy.start(test.url);
    asking = connect({ url: route.url }, 'worker', createLogger('test', 'silent'));
    lossy = new RunStore(asking, { keys: test.keys });
    // The server knows the scripts now, so that the lost reply is the right one.
    await lossy.cancel(await accept('warm'));
    await lossy.claim(randomUUID(), { worker: '', nonce: '', leaseMs: 1, crashBudget: 0 }, { token: 0 });
  });
  afterEach(async () => {
    asking.disconnect();
    await route.close();
  });

  it('to a cancel', async () => {
    const runId = await accept('x');
    const { lease } = await claim(runId, -1);
    loseReplyWith(route, 'ended');
    const { fence = 0 } = await lossy.cancel(runId);
    expect(route.lost).toBe(1);
    expect(fence).toBeGreaterThan(lease.token);
  });

  it('to a claim that ends the run', async () => {
    const runId = await accept('x');
    const { lease } = await claim(runId, -1);
    loseReplyWith(route, 'ended');
    const by = { worker: 'w2', nonce: randomUUID(), leaseMs: 60_000, crashBudget: 0 };
    const heard = await lossy.claim(runId, by, { token: 0, head: '' });
    expect(route.lost).toBe(1);
    expect(heard.outcome === 'ended' ? heard.token : 0).toBeGreaterThan(lease.token);
    expect((await store.read.run('t', runId))?.error?.code).toBe('crash_budget');
  });
});

describe('what was accepted reaches an end', () => {
  it('when the worker died, the sweeper said so, and then nobody swept for a while', async () => {
    const runId = await accept('x');
    await claim(runId, 1);
    // The sweeper takes the lease for expired, rings, and the queue has the job.
    let rung: string[] = [];
    while (!rung.includes(runId)) rung = await sweepAll(1);
    // Every gateway (or Redis) is away for a minute; the job waits in the queue.
    const swept = `${test.keys.root(partitionOfThread('x'))}:swept`;
    await test.redis.set(swept, Date.now() - 60_000);
    // A worker comes first. Whatever it hears, the run must stay findable.
    const by = { worker: 'w2', nonce: randomUUID(), leaseMs: 1, crashBudget: 3 };
    const heard = await store.claim(runId, by, { token: 0, head: '' });
    const later = heard.outcome === 'claimed' ? [runId] : await sweepAll(3);
    expect(later).toContain(runId);
  });

  it('also when it is to start later than its thread would be forgotten', async () => {
    const brief = new RunStore(test.redis, {
      keys: test.keys,
      retention: { runsMs: 1, runsKept: 0, threadsMs: 1 },
    });
    await accept('later', { throwaway: true, afterMs: 3600_000 }, brief);
    const partition = partitionOfThread('later');
    const { redis } = test;
    // Past the retention of the thread, by the clock of Redis, which the sweep reads.
    const until = Number((await redis.time())[0]) + 1;
    while (Number((await redis.time())[0]) < until);
    const { expiredThreads } = await brief.sweep(partition, { limit: 100, ringAfterMs: 0 });
    expect(expiredThreads).toEqual([]);
  });

  it('also when its thread is deleted before it is due', async () => {
    await accept('x').then(finish);
    const delayed = await accept('x', { afterMs: 3600_000 });
    const published: string[] = [];
    const subscriber = test.subscriber();
    await subscriber.subscribe(test.keys.eventChannel(delayed));
    subscriber.on('message', (_, message: string) => published.push(message));
    const removal = await accept('x', { request: { ...request, kind: 'delete_thread' } });
    await finish(removal);
    while (!published.some((one) => one.endsWith('!'))) await subscriber.ping();
  });
});

it('a run that was asked to stop does not come back with a question', async () => {
  const runId = await accept('x');
  const { lease } = await claim(runId);
  expect((await store.cancel(runId)).outcome).toBe('asked');
  await store.finish(runId, lease, {
    status: 'interrupted',
    questions: [{ id: 'q', kind: 'interrupt', node: 'n' }],
  });
  expect((await store.read.run('t', runId))?.status).toBe('cancelled');
  expect((await store.read.thread('t', 'x'))?.parked).toBeUndefined();
});

it('metadata set while the thread is being deleted leaves no ghost of it', async () => {
  await accept('x').then(finish);
  await accept('x', { request: { ...request, kind: 'delete_thread' } }).then(finish);
  await store.threads.setMetadata('t', 'x', { late: true }).catch(() => undefined);
  await accept('x').then(finish);
  expect(await store.read.thread('t', 'x')).toMatchObject({ id: 'x' });
});

it('the list of a thread’s runs does not outgrow the runs that are kept', async () => {
  const brief = new RunStore(test.redis, {
    keys: test.keys,
    retention: { runsMs: 1, runsKept: 0, threadsMs: 60_000 },
  });
  for (let n = 0; n < 50; n++) {
    const runId = await accept('x', {}, brief);
    await finish(runId);
    while (await test.redis.exists(test.keys.run(test.keys.root(partitionOfThread('x')), runId)));
  }
  const list = test.keys.threadRuns(test.keys.root(partitionOfThread('x')), 't/x');
  expect(await test.redis.zcard(list)).toBeLessThan(50);
});
