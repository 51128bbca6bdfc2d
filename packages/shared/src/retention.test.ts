import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RunRequest } from './contract/run.ts';
import { partitionOfThread } from './partition.ts';
import type { Claim, Finish, Submission } from './run-moves.ts';
import { RunStore } from './run-store.ts';
import { type TestRedis, testRedis } from './test-redis.ts';

/** What goes of what is over, by number and by age. */

let test: TestRedis;
let store: RunStore;

const storeWith = (runsKept: number) =>
  new RunStore(test.redis, {
    keys: test.keys,
    retention: { runsMs: 3600_000, runsKept, threadsMs: 3600_000 },
  });

beforeEach(async () => {
  test = await testRedis({ oneServer: true });
  store = storeWith(3);
});
afterEach(() => test.close());

const request: RunRequest = { kind: 'graph', graph: 'g', assistantId: 'a', input: {}, streamModes: [] };
const question = { id: 'q', kind: 'interrupt' as const, node: 'n' };
const asks: Finish = { status: 'interrupted', questions: [question] };

async function accept(thread: string, more: Partial<Submission> = {}, by = store): Promise<string> {
  const options = { createThread: true, queue: 'default', multitask: 'enqueue' as const };
  const result = await by.submit({ tenant: 't', thread, request, ...options, ...more });
  if (result.outcome !== 'accepted') throw new Error(`refused: ${result.outcome}`);
  return result.runId;
}

async function claim(runId: string): Promise<Claim> {
  const by = { worker: 'w', nonce: randomUUID(), leaseMs: 60_000, crashBudget: 3 };
  const result = await store.claim(runId, by, { token: 0, head: '' });
  if (result.outcome !== 'claimed') throw new Error(`not claimed: ${result.outcome}`);
  return result;
}

async function finish(runId: string, end: Finish = { status: 'succeeded' }): Promise<string> {
  await store.finish(runId, (await claim(runId)).lease, end);
  return runId;
}

const run = async (thread: string) => finish(await accept(thread));
const answer = (thread: string, id = question.id) =>
  accept(thread, { request: { ...request, input: undefined, answers: { [id]: 'yes' } } });
const known = async (runId: string) => (await store.read.run('t', runId)) !== undefined;
const listed = async (thread: string) =>
  (await store.read.runsOfThread('t', thread, { limit: 100, offset: 0 })).map(({ id }) => id);

/** The keys of partitions. */
async function ours(): Promise<string[]> {
  return (await test.scan()).filter((key) => key.startsWith(`${test.keys.prefix}:`));
}

/** How many keys there are of each kind. */
async function counts(): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const key of await ours()) {
    const kind = key.split(':')[2] ?? '';
    found[kind] = (found[kind] ?? 0) + 1;
  }
  return found;
}

describe('of a thread’s finished runs', () => {
  it('only the newest are kept, with nothing left of the others', async () => {
    const runs: string[] = [];
    for (let n = 0; n < 10; n++) runs.push(await run('x'));
    expect(await listed('x')).toEqual(runs.slice(-3).reverse());
    expect(await counts()).toMatchObject({ run: 3, events: 3, chain: 3, thread: 1 });
    const root = test.keys.root(partitionOfThread('x'));
    expect(await test.redis.zcard(`${root}:runs:t/x`)).toBe(3);
    expect(await test.redis.zcard(`${root}:finished:t/x`)).toBe(3);
  });

  it('those that wait, or wait for answers, are not counted', async () => {
    const waiting: string[] = [];
    for (let n = 0; n < 10; n++) waiting.push(await accept('x'));
    for (const one of waiting) await finish(one);
    expect(await listed('x')).toHaveLength(3);

    const asked = await finish(await accept('y'), asks);
    // Nothing of it has a time to live while it waits.
    for (const key of (await ours()).filter((one) => one.endsWith(asked))) {
      expect([key, await test.redis.pttl(key)]).toEqual([key, -1]);
    }
    const answered = await finish(await answer('y'));
    for (let n = 0; n < 2; n++) await run('y');
    expect(await known(asked)).toBe(false);
    // A chain lives as long as its newest run.
    expect(await store.read.chain('t', asked)).toMatchObject({ newestRun: answered });
    await run('y');
    expect(await known(answered)).toBe(false);
    expect(await store.read.chain('t', asked)).toBeUndefined();
  });

  it('a limit that is lowered is reached, and none keeps all', async () => {
    store = storeWith(0);
    for (let n = 0; n < 10; n++) await run('x');
    expect(await listed('x')).toHaveLength(10);
    store = storeWith(8);
    for (let n = 0; n < 10; n++) await run('x');
    store = storeWith(2);
    for (let n = 0; n < 3; n++) await run('x');
    // Of the first ten nobody kept count: age takes them.
    expect(await listed('x')).toHaveLength(2 + 10);
  });
});

describe('a chain that was given as a task', () => {
  it('is kept for its time, however many runs its thread has after it', async () => {
    const task = await accept('x');
    await store.chains.handOver(task);
    await finish(task);
    const late = await run('x');
    await store.chains.handOver(late);
    const asking = await finish(await accept('y'), asks);
    await store.chains.handOver(asking);
    const answered = await finish(await answer('y'));
    for (let n = 0; n < 5; n++) await Promise.all([run('x'), run('y')]);
    expect(await listed('x')).toHaveLength(3 + 2);
    for (const one of [task, late]) {
      expect((await store.read.chainView('t', one))?.run).toMatchObject({ id: one, status: 'succeeded' });
      const root = test.keys.root(partitionOfThread('x'));
      expect(await test.redis.pttl(test.keys.run(root, one))).toBeGreaterThan(0);
    }
    expect((await store.read.chainView('t', asking))?.run.id).toBe(answered);
    await store.chains.handOver('nothing');
    await store.chains.handOver(randomUUID());
    expect(await test.scan()).not.toContainEqual(expect.stringContaining('nothing'));
  });

  it('is kept also when its answer was taken back', async () => {
    const asking = await finish(await accept('x'), asks);
    await store.chains.handOver(asking);
    const answering = await claim(await answer('x'));
    await store.begin(answering.runId, answering.lease, { base: '', head: '' });
    const { turn } = await store.cancel(answering.runId, 'rollback');
    await store.finish(answering.runId, answering.lease, { status: 'cancelled' });
    await finish(turn ?? '');
    expect((await store.read.chainView('t', asking))?.chain).toMatchObject({
      state: 'parked',
      newestRun: asking,
    });
    for (let n = 0; n < 5; n++) await run('x');
    expect((await store.read.chainView('t', asking))?.run.id).toBe(asking);
  });
});

describe('a thread whose time is over', () => {
  const key = (thread: string) => `${test.keys.root(partitionOfThread(thread))}:expiry`;
  const expire = (thread: string) => test.redis.zadd(key(thread), 1, `t/${thread}`);
  const begin = (thread: string, nonce: string = randomUUID(), token = 0) =>
    store.expiry.begin('t', thread, nonce, token);

  it('is removed without a trace, but for a lease that will expire', async () => {
    await run('x');
    await finish(await accept('x'), asks);
    await expire('x');
    const lease = await begin('x');
    if (!lease) throw new Error('not begun');
    expect(await store.read.thread('t', 'x')).toBeUndefined();
    expect(await store.expiry.end('t', 'x', lease)).toBe(true);
    // The pace of ends is kept in windows of time, one or two of them by now, which expire.
    const { ended: _, ...rest } = await counts();
    expect(rest).toEqual({ lease: 1 });
    const [left = ''] = (await ours()).filter((one) => one.includes(':lease:'));
    expect(await test.redis.pttl(left)).toBeGreaterThan(0);
    // A thread of that name is another one. The same call again (its reply was lost) leaves it alone.
    const next = await accept('x');
    expect(await store.expiry.end('t', 'x', lease)).toBe(true);
    await finish(next);
    expect(await store.read.thread('t', 'x')).toMatchObject({ status: 'idle' });
  });

  it('is removed with the chain that waits in it, however many runs that has had', async () => {
    const asking = (id: string): Finish => ({ ...asks, questions: [{ ...question, id }] });
    const first = await finish(await accept('x'), asking('1'));
    await finish(await answer('x', '1'), asking('2'));
    const root = test.keys.root(partitionOfThread('x'));
    // As once its time is over, and another submit has seen that.
    await test.redis.unlink(test.keys.run(root, first), test.keys.events(root, first));
    await finish(await answer('x', '2'), asking('3'));
    expect(await test.redis.zscore(test.keys.threadRuns(root, 't/x'), first)).toBeNull();
    await expire('x');
    const lease = await begin('x');
    if (!lease) throw new Error('not begun');
    expect(await store.expiry.end('t', 'x', lease)).toBe(true);
    const { ended: _, ...rest } = await counts();
    expect(rest).toEqual({ lease: 1 });
  });

  it('is left alone while it is in use, or was used again', async () => {
    await run('x');
    expect(await begin('x')).toBeUndefined();
    const next = await accept('x');
    await expire('x');
    expect(await begin('x')).toBeUndefined();
    const { lease } = await claim(next);
    expect(await begin('x')).toBeUndefined();
    await store.finish(next, lease, { status: 'succeeded' });
    expect(await begin('x')).toBeUndefined();
  });

  it('takes no run once its removal has begun, and is removed once', async () => {
    await run('x');
    await expire('x');
    const lease = await begin('x');
    expect(await begin('x')).toBeUndefined();
    await expect(accept('x')).rejects.toThrow('no_thread');
    // Whoever began died; a minute later another takes its place, and the first one comes back.
    await expire('x');
    const other = await begin('x');
    if (!lease || !other) throw new Error('not begun');
    expect(other.token).toBeGreaterThan(lease.token);
    expect(await store.expiry.end('t', 'x', lease)).toBe(false);
    expect(await store.expiry.end('t', 'x', other)).toBe(true);
  });

  it('gives the same holder a higher token when the checkpoint store asks for one', async () => {
    await run('x');
    await expire('x');
    const lease = await begin('x', 'n');
    const higher = Number.MAX_SAFE_INTEGER - 10;
    expect(await begin('x', 'n', higher)).toEqual({ token: higher + 1, nonce: 'n' });
    expect(lease?.token).toBeLessThan(higher);
  });
});
