import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RunRequest } from './contract/run.ts';
import { partitionOfThread } from './partition.ts';
import type { Claim, Submission } from './run-moves.ts';
import { RunStore } from './run-store.ts';
import { type TestRedis, testRedis } from './test-redis.ts';

let test: TestRedis;
let store: RunStore;

beforeEach(async () => {
  test = await testRedis();
  store = new RunStore(test.redis, { keys: test.keys });
});
afterEach(() => test.close());

const request: RunRequest = { kind: 'graph', graph: 'g', assistantId: 'g', input: {}, streamModes: [] };

const submit = (thread: string, more: Partial<Submission> = {}) =>
  store.submit({
    tenant: 't',
    thread,
    createThread: true,
    request,
    queue: 'default',
    multitask: 'enqueue',
    ...more,
  });

async function accept(thread: string, more: Partial<Submission> = {}) {
  const result = await submit(thread, more);
  if (result.outcome !== 'accepted') throw new Error(`refused: ${result.outcome}`);
  return result;
}

const claim = (runId: string, leaseMs = 60_000) =>
  store.claim(runId, { worker: 'w', nonce: randomUUID(), leaseMs, crashBudget: 2 }, { token: 0, head: '' });

async function claimed(runId: string, leaseMs?: number): Promise<Claim> {
  const result = await claim(runId, leaseMs);
  if (result.outcome !== 'claimed') throw new Error(`not claimed: ${result.outcome}`);
  return result;
}

/** A run at work that may have written something. */
async function begun(thread: string, leaseMs?: number, more: Partial<Submission> = {}): Promise<Claim> {
  const { runId } = await accept(thread, more);
  const run = await claimed(runId, leaseMs);
  await store.begin(runId, run.lease, { base: '', head: '' });
  return run;
}

/** Plays the worker that takes the turn. */
async function take(turn: string | undefined): Promise<Claim> {
  const run = await claimed(turn ?? '');
  await store.finish(run.runId, run.lease, { status: 'succeeded' });
  return run;
}

const statusOf = async (runId: string) => (await store.read.run('t', runId))?.status;
const listed = async (thread: string) =>
  (await store.read.runsOfThread('t', thread, { limit: 10, offset: 0 })).map((run) => run.id);

const question = { id: 'q1', kind: 'interrupt' as const, node: 'ask', interruptId: 'i1', value: 'sure?' };
const answer = { ...request, input: undefined, answers: { q1: 'yes' }, resume: { i1: 'yes' } };

async function park(thread: string): Promise<string> {
  const { runId, lease } = await begun(thread);
  await store.finish(runId, lease, { status: 'interrupted', questions: [question] });
  return runId;
}

describe('a rollback', () => {
  it('takes its turn right behind the run at work, and only then comes the next', async () => {
    const { runId, lease } = await begun('a');
    const next = await accept('a');
    const { outcome, turn } = await store.cancel(runId, 'rollback');
    expect(outcome).toBe('asked');
    expect(await store.cancel(runId, 'rollback')).toMatchObject({ outcome: 'asked', turn });
    expect(await store.emit(runId, lease, 1, [{ name: 'values', data: '1' }])).toBe('cancel');
    expect((await claim(turn ?? '')).outcome).toBe('not_head');
    const end = await store.finish(runId, lease, { status: 'cancelled' });
    expect(end.job?.id).toBe(`${turn}-1`);
    expect((await claim(next.runId)).outcome).toBe('not_head');
    expect(await take(turn)).toMatchObject({ target: runId, request: { kind: 'rollback' } });
    expect((await claim(next.runId)).outcome).toBe('claimed');
  });

  it('ends a run that has not begun at once, and takes no turn for it', async () => {
    const { runId } = await accept('b');
    expect(await store.cancel(runId, 'rollback')).toMatchObject({ outcome: 'ended', turn: undefined });
    expect(await store.read.run('t', runId)).toMatchObject({ status: 'cancelled', rolledBack: true });
    expect(await store.read.thread('t', 'b')).toMatchObject({ status: 'idle' });
  });

  it('of a run whose worker is gone begins at once', async () => {
    const { runId, lease } = await begun('c', -1);
    const next = await accept('c');
    const { outcome, job, fence, turn } = await store.cancel(runId, 'rollback');
    expect([outcome, job?.id]).toEqual(['ended', `${turn}-1`]);
    expect(fence).toBeGreaterThan(lease.token);
    await take(turn);
    expect((await claim(next.runId)).outcome).toBe('claimed');
  });

  it('waits for a run that was asked to stop and lost its worker', async () => {
    const { runId } = await begun('d');
    const { turn } = await store.cancel(runId, 'rollback');
    const root = test.keys.root(partitionOfThread('d'));
    await test.redis.hset(`${root}:lease:t/d`, 'deadline', 0);
    expect(await claim(runId)).toMatchObject({ outcome: 'ended', job: { id: `${turn}-1` } });
    expect(await statusOf(runId)).toBe('cancelled');
    await take(turn);
  });

  it('or the end of the run, whichever is first, stands', async () => {
    const { runId, lease } = await begun('e');
    await store.cancel(runId, 'rollback');
    const end = { status: 'succeeded' as const, answer: 'done', checkpoint: 'c' };
    expect((await store.finish(runId, lease, end)).won).toBe(true);
    const run = await store.read.run('t', runId);
    expect(run).toMatchObject({ status: 'cancelled', rolledBack: true });
    expect([run?.answer, run?.checkpoint]).toEqual([undefined, undefined]);

    const other = await begun('f');
    await store.finish(other.runId, other.lease, { status: 'succeeded' });
    expect(await store.cancel(other.runId, 'rollback')).toMatchObject({ outcome: 'over', turn: undefined });
    expect(await store.read.run('t', other.runId)).toMatchObject({ status: 'succeeded', rolledBack: false });
  });

  it('can follow an interrupt, and no interrupt takes it back', async () => {
    const { runId, lease } = await begun('g');
    expect((await store.cancel(runId)).turn).toBeUndefined();
    const { turn } = await store.cancel(runId, 'rollback');
    expect(await store.cancel(runId)).toMatchObject({ outcome: 'asked', turn });
    await accept('g', { multitask: 'interrupt' });
    await store.finish(runId, lease, { status: 'cancelled' });
    expect((await store.cancel(turn ?? '')).outcome).toBe('over');
    await take(turn);
    expect((await store.read.run('t', runId))?.rolledBack).toBe(true);
  });

  it('leaves the run out of the list, and counts for nobody', async () => {
    const first = await begun('h');
    await store.finish(first.runId, first.lease, { status: 'succeeded' });
    const { runId, lease } = await begun('h');
    const { turn } = await store.cancel(runId, 'rollback');
    expect(await store.open.ofTenant('t')).toBe(1);
    await store.finish(runId, lease, { status: 'cancelled' });
    expect(await store.open.ofTenant('t')).toBe(0);
    expect(await listed('h')).toEqual([first.runId]);
    expect(await store.read.thread('t', 'h')).toMatchObject({ status: 'busy' });
    await take(turn);
    expect(await store.read.thread('t', 'h')).toMatchObject({ status: 'idle' });
    // What it asked for is still there for who follows it, and goes with the thread.
    const remove = await accept('h', { request: { ...request, kind: 'delete_thread' } });
    await take(remove.runId);
    expect(await statusOf(runId)).toBeUndefined();
  });

  it('is done before its thread is deleted', async () => {
    await park('z');
    const { runId, lease } = await begun('z', undefined, { request: answer });
    const { turn } = await store.cancel(runId, 'rollback');
    const remove = await accept('z', { request: { ...request, kind: 'delete_thread' } });
    await store.finish(runId, lease, { status: 'cancelled' });
    expect((await claim(remove.runId)).outcome).toBe('not_head');
    await take(turn);
    await take(remove.runId);
    const left = await test.scan();
    const kept = await Promise.all(left.map(async (key) => ((await test.redis.pttl(key)) === -1 ? key : '')));
    expect(kept.filter((key) => /:(run|chain|events|thread|mailbox|runs):/.test(key))).toEqual([]);
  });

  it('is not given up, however often its worker dies', async () => {
    const { runId } = await begun('i', -1);
    const { turn } = await store.cancel(runId, 'rollback');
    for (let i = 0; i < 6; i++) await claimed(turn ?? '', -1);
    await store.sweep(partitionOfThread('i'), { limit: 10, ringAfterMs: 0 });
    await take(turn);
    expect(await statusOf(turn ?? '')).toBe('succeeded');
  });
});

describe('a submit with rollback', () => {
  it('stops all that is unfinished, lines up the turn, and goes last', async () => {
    const { runId, lease } = await begun('j');
    const waiting = await accept('j');
    const last = await accept('j', { multitask: 'rollback' });
    expect(last.job).toBeUndefined();
    expect(await statusOf(waiting.runId)).toBe('cancelled');
    expect(await listed('j')).toEqual([last.runId, runId]);
    const { job } = await store.finish(runId, lease, { status: 'cancelled' });
    expect(await take(job?.id.slice(0, 36))).toMatchObject({ target: runId });
    expect((await claim(last.runId)).outcome).toBe('claimed');
  });

  it('of a run whose worker is gone gives the turn to ring, and the token that closes to that worker', async () => {
    const { runId, lease } = await begun('k', -1);
    const last = await accept('k', { multitask: 'rollback' });
    expect(last.fence).toBeGreaterThan(lease.token);
    const turn = last.job?.id.slice(0, 36);
    expect(turn).not.toBe(last.runId);
    expect((await claim(last.runId)).outcome).toBe('not_head');
    expect(await take(turn)).toMatchObject({ target: runId });
    expect((await claim(last.runId)).outcome).toBe('claimed');
  });

  it('to a thread where nothing has begun goes at once', async () => {
    const waiting = await accept('l');
    const last = await accept('l', { multitask: 'rollback' });
    expect(last).toMatchObject({ job: { id: `${last.runId}-1` }, fence: undefined });
    expect(await statusOf(waiting.runId)).toBe('cancelled');
  });

  it('supersedes a parked chain and takes nothing of it back', async () => {
    const asked = await park('m');
    const last = await accept('m', { multitask: 'rollback' });
    expect(await store.read.chain('t', asked)).toMatchObject({ state: 'superseded' });
    expect(last.job?.id).toBe(`${last.runId}-1`);
  });

  it('with interrupt closes to a worker that is gone, too', async () => {
    const { lease } = await begun('n', -1);
    expect((await accept('n', { multitask: 'interrupt' })).fence).toBeGreaterThan(lease.token);
  });
});

describe('of an answer', () => {
  it('that has not begun: the question is open again', async () => {
    const asked = await park('o');
    const { runId } = await accept('o', { request: answer });
    expect(await store.cancel(runId, 'rollback')).toMatchObject({ outcome: 'ended', turn: undefined });
    expect(await store.read.thread('t', 'o')).toMatchObject({ status: 'interrupted', parked: asked });
    expect(await store.read.chain('t', asked)).toMatchObject({
      state: 'parked',
      newestRun: asked,
      questions: [question],
    });
    const again = await accept('o', { request: answer });
    expect((await claim(again.runId)).outcome).toBe('claimed');
  });

  it('at work: the next answer waits until it is taken back', async () => {
    const asked = await park('p');
    const { runId, lease } = await begun('p', undefined, { request: answer });
    const { turn } = await store.cancel(runId, 'rollback');
    expect((await submit('p', { request: answer })).outcome).toBe('stale');
    await store.finish(runId, lease, { status: 'succeeded' });
    expect(await store.read.thread('t', 'p')).toMatchObject({ parked: asked });
    const again = await accept('p', { request: answer });
    expect(again.job).toBeUndefined();
    expect((await claim(again.runId)).outcome).toBe('not_head');
    await take(turn);
    expect((await claim(again.runId)).outcome).toBe('claimed');
  });

  it('by a newer message: that supersedes the question', async () => {
    const asked = await park('q');
    const { runId, lease } = await begun('q', undefined, { request: answer });
    const last = await accept('q', { multitask: 'rollback' });
    const { job } = await store.finish(runId, lease, { status: 'cancelled' });
    await take(job?.id.slice(0, 36));
    await claimed(last.runId);
    expect(await store.read.chain('t', asked)).toMatchObject({ state: 'superseded' });
    expect((await submit('q', { request: answer })).outcome).toBe('stale');
  });

  it('to which the thread has not waited: nothing is asked again', async () => {
    await park('r');
    const late = await accept('r', { request: answer, afterMs: 60_000 });
    const other = await begun('r');
    await store.finish(other.runId, other.lease, { status: 'succeeded' });
    await store.cancel(late.runId, 'rollback');
    expect(await store.read.thread('t', 'r')).toMatchObject({ status: 'idle', parked: undefined });
  });

  it('that asked on: the first question is open again, by its old id', async () => {
    const asked = await park('s');
    const { runId, lease } = await begun('s', undefined, { request: answer });
    const second = { ...question, id: 'q2' };
    await store.finish(runId, lease, { status: 'interrupted', questions: [second] });
    expect((await store.cancel(asked, 'rollback')).outcome).toBe('behind');
    const { outcome, turn } = await store.cancel(runId, 'rollback');
    expect(outcome).toBe('ended');
    expect(await store.read.thread('t', 's')).toMatchObject({ parked: asked });
    expect(await store.read.chain('t', asked)).toMatchObject({ newestRun: asked, questions: [question] });
    await take(turn);
    expect((await submit('s', { request: { ...answer, answers: { q2: 'yes' } } })).outcome).toBe('stale');
    expect((await submit('s', { request: answer })).outcome).toBe('accepted');
  });
});

describe('of a parked run', () => {
  it('ends the chain and takes the run back', async () => {
    const asked = await park('u');
    const waiting = await accept('u', { request: { ...request, kind: 'update_state' } });
    const { outcome, job, turn } = await store.cancel(asked, 'rollback');
    expect([outcome, job?.id]).toEqual(['ended', `${turn}-1`]);
    expect(await store.read.chain('t', asked)).toMatchObject({ state: 'cancelled' });
    expect((await submit('u', { request: answer })).outcome).toBe('stale');
    expect((await claim(waiting.runId)).outcome).toBe('not_head');
    await take(turn);
    expect(await listed('u')).toEqual([]);
    expect(await store.cancel(asked, 'rollback')).toMatchObject({ outcome: 'over', turn });
  });

  it('is refused when the state was edited since, or is being edited', async () => {
    const asked = await park('v');
    const edit = { request: { ...request, kind: 'update_state' as const } };
    const { runId } = await accept('v', edit);
    const { lease } = await claimed(runId);
    expect((await store.cancel(asked, 'rollback')).outcome).toBe('behind');
    await store.begin(runId, lease, { base: 'c', head: 'c' });
    await store.finish(runId, lease, { status: 'succeeded', questions: [question] });
    expect((await store.cancel(asked, 'rollback')).outcome).toBe('behind');
    expect((await submit('v', { request: answer })).outcome).toBe('accepted');
  });

  it('or an answer, whichever is first, stands', async () => {
    const elsewhere = new RunStore(test.connect(), { keys: test.keys });
    for (let i = 0; i < 50; i++) {
      const asked = await park(`w${i}`);
      const [rollback, answered] = await Promise.all([
        elsewhere.cancel(asked, 'rollback'),
        submit(`w${i}`, { request: answer }),
      ]);
      expect([rollback.outcome, answered.outcome]).toEqual(
        rollback.outcome === 'ended' ? ['ended', 'stale'] : ['over', 'accepted'],
      );
    }
  });
});
