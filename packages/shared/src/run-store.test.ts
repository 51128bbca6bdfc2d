import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RunRequest } from './contract/run.ts';
import { partitionOfRun, partitionOfThread } from './partition.ts';
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

const request: RunRequest = {
  kind: 'graph',
  graph: 'agent',
  assistantId: 'a',
  input: { x: 1 },
  streamModes: [],
};
const none = { token: 0, head: '' };

function submission(thread: string, more: Partial<Submission> = {}): Submission {
  return {
    tenant: 't',
    thread,
    createThread: true,
    request,
    queue: 'default',
    multitask: 'enqueue',
    ...more,
  };
}

async function accept(thread: string, more: Partial<Submission> = {}) {
  const result = await store.submit(submission(thread, more));
  if (result.outcome !== 'accepted') throw new Error(`refused: ${result.outcome}`);
  return result;
}

const claim = (
  runId: string,
  options: { leaseMs?: number; head?: string; token?: number; alone?: boolean } = {},
) =>
  store.claim(
    runId,
    { worker: 'w', nonce: randomUUID(), leaseMs: options.leaseMs ?? 60_000, crashBudget: 2 },
    { token: options.token ?? 0, head: options.head ?? '' },
    options.alone,
  );

async function claimed(runId: string, options: Parameters<typeof claim>[1] = {}): Promise<Claim> {
  const result = await claim(runId, options);
  if (result.outcome !== 'claimed') throw new Error(`not claimed: ${result.outcome}`);
  return result;
}

const events = async (runId: string) => {
  const key = test.keys.events(test.keys.root(partitionOfRun(runId) ?? 0), runId);
  return (await test.redis.xrange(key, '-', '+')).map(([id, f]) => [Number.parseInt(id, 10), f[1]]);
};

it('a thread says which graph ran on it last', async () => {
  await store.threads.create('t', 'g', { mine: 1 });
  expect((await store.read.thread('t', 'g'))?.metadata).toEqual({ mine: 1 });
  await accept('g');
  expect((await store.read.thread('t', 'g'))?.metadata).toEqual({
    mine: 1,
    graph_id: 'agent',
    assistant_id: 'a',
  });
});

it('creating a thread counts once for one request', async () => {
  expect(await store.threads.create('t', 'i', {}, 'h')).toBe('created');
  expect(await store.threads.create('t', 'i', {}, 'h')).toBe('created');
  expect(await store.threads.create('t', 'i', {}, 'other')).toBe('conflict');
  expect(await store.threads.create('t', 'i', {})).toBe('exists');
});

describe('submit', () => {
  it('keeps a run and its thread in one partition', async () => {
    const { runId, job } = await accept('thread-1');
    expect(partitionOfRun(runId)).toBe(partitionOfThread('thread-1'));
    expect(job).toEqual({ id: `${runId}-1`, queue: 'default' });
    expect(await store.read.run('t', runId)).toMatchObject({
      status: 'queued',
      thread: 'thread-1',
      attempt: 0,
      request,
    });
  });

  it('counts once for one idempotency key, fifty at a time', async () => {
    const idempotency = { key: 'k', bodyHash: 'h' };
    const results = await Promise.all(Array.from({ length: 50 }, () => accept('a', { idempotency })));
    expect(new Set(results.map((one) => one.runId)).size).toBe(1);
    expect(results.filter((one) => !one.repeated)).toHaveLength(1);
    expect(await store.submit(submission('a', { idempotency: { key: 'k', bodyHash: 'other' } }))).toEqual({
      outcome: 'conflict',
    });
  });

  it('does not make a thread unless told to, and refuses a busy one when asked', async () => {
    expect(await store.submit(submission('b', { createThread: false }))).toEqual({ outcome: 'no_thread' });
    await accept('b');
    expect(await store.submit(submission('b', { multitask: 'reject' }))).toEqual({ outcome: 'busy' });
  });

  it('hides what belongs to another tenant', async () => {
    const { runId } = await accept('c');
    expect(await store.read.run('other', runId)).toBeUndefined();
    expect(await store.read.thread('other', 'c')).toBeUndefined();
    expect(await store.read.chain('other', runId)).toBeUndefined();
  });
});

describe('the mailbox', () => {
  it('lets runs of a thread go one at a time, in the order accepted', async () => {
    const first = await accept('m');
    const second = await accept('m');
    expect(second.job).toBeUndefined();
    expect((await claim(second.runId)).outcome).toBe('not_head');
    const { lease } = await claimed(first.runId);
    expect((await claim(first.runId)).outcome).toBe('leased');
    const end = await store.finish(first.runId, lease, { status: 'succeeded' });
    expect(end).toEqual({ won: true, job: { id: `${second.runId}-1`, queue: 'default' } });
    expect((await claim(second.runId)).outcome).toBe('claimed');
  });

  it('removes the run that ends, never another', async () => {
    const [a, b, c] = [await accept('n'), await accept('n'), await accept('n')];
    expect((await store.cancel(b.runId)).outcome).toBe('ended');
    const { lease } = await claimed(a.runId);
    expect((await store.finish(a.runId, lease, { status: 'succeeded' })).job?.id).toBe(`${c.runId}-1`);
  });

  it('holds a run back until it is due', async () => {
    const { runId, job } = await accept('o', { afterMs: 60_000 });
    expect(job).toBeUndefined();
    expect((await claim(runId)).outcome).toBe('not_head');
    const root = test.keys.root(partitionOfThread('o'));
    await test.redis.zadd(`${root}:due`, 0, runId);
    await store.sweep(partitionOfThread('o'), { limit: 10, ringAfterMs: 0 });
    expect((await claim(runId)).outcome).toBe('claimed');
  });
});

describe('a lease', () => {
  it('lets nobody write but its holder', async () => {
    const { runId } = await accept('l');
    const old = await claimed(runId, { leaseMs: -1 });
    const now = await claimed(runId);
    expect(now.lease.token).toBeGreaterThan(old.lease.token);
    expect(now.attempt).toBe(2);
    expect(await store.begin(runId, old.lease, { base: '', head: '' })).toBe('lost');
    expect(await store.emit(runId, old.lease, 1, [{ name: 'values', data: '"old"' }])).toBe('lost');
    expect(await store.finish(runId, old.lease, { status: 'failed' })).toEqual({
      won: false,
      job: undefined,
    });
    expect(await store.renew(1000, [{ runId, lease: old.lease, usedMs: 0 }])).toEqual(['lost']);
    expect((await store.handBack(runId, old.lease, { delayMs: 0, usedMs: 0 })).won).toBe(false);
    const stolen = { token: now.lease.token, nonce: 'guess' };
    expect(await store.emit(runId, stolen, 1, [{ name: 'values', data: '"stolen"' }])).toBe('lost');
    expect(await store.emit(runId, now.lease, 1, [{ name: 'values', data: '"now"' }])).toBe('ok');
    expect(await events(runId)).toEqual([[1, 'values']]);
  });

  it('never hands out a token below the checkpoint store’s, nor below the time', async () => {
    const { runId } = await accept('p');
    const high = 9e15;
    expect((await claimed(runId, { token: high })).lease.token).toBe(high + 1);
    const other = await accept('q');
    expect((await claimed(other.runId)).lease.token).toBeGreaterThan(1.7e15);
  });

  it('that ran out is rung again, and can be renewed until somebody else claims', async () => {
    const { runId } = await accept('r');
    const { lease } = await claimed(runId, { leaseMs: -1 });
    const partition = partitionOfThread('r');
    const swept = await store.sweep(partition, { limit: 10, ringAfterMs: 0 });
    expect(swept.jobs.map((job) => job.id)).toContain(`${runId}-2`);
    expect((await store.read.run('t', runId))?.status).toBe('queued');
    expect(await store.renew(60_000, [{ runId, lease, usedMs: 5 }])).toEqual(['ok']);
    expect((await store.read.run('t', runId))?.status).toBe('running');
    expect((await claim(runId)).outcome).toBe('leased');
  });

  it('whose events Redis has forgotten writes nothing more, and can be given back', async () => {
    const { runId } = await accept('b');
    const { lease } = await claimed(runId);
    const event = { name: 'updates', data: '1' };
    expect(await store.emit(runId, lease, 1, [event])).toBe('ok');
    // The second one was stored, and is gone with a restored snapshot.
    expect(await store.emit(runId, lease, 3, [event])).toBe('lost');
    expect(await store.renew(60_000, [{ runId, lease, events: 2, usedMs: 0 }])).toEqual(['lost']);
    expect((await store.finish(runId, lease, { status: 'succeeded' }, 2)).won).toBe(false);
    expect(await events(runId)).toEqual([[1, 'updates']]);
    expect((await store.handBack(runId, lease, { delayMs: 0, usedMs: 0 })).won).toBe(true);
    const next = await claimed(runId);
    expect((await store.finish(runId, next.lease, { status: 'succeeded' })).won).toBe(true);
  });

  it('passes over events of a call that was sent twice', async () => {
    const { runId } = await accept('s');
    const { lease } = await claimed(runId);
    const batch = [
      { name: 'updates', data: '1' },
      { name: 'updates', data: '2' },
    ];
    await store.emit(runId, lease, 1, batch);
    await store.emit(runId, lease, 1, batch);
    await store.emit(runId, lease, 3, [{ name: 'updates', data: '3' }]);
    expect(await events(runId)).toEqual([
      [1, 'updates'],
      [2, 'updates'],
      [3, 'updates'],
    ]);
  });
});

it('asks for a look at the checkpoint store before it counts a crash', async () => {
  const { runId } = await accept('look');
  await claimed(runId, { leaseMs: -1 });
  const by = { worker: 'w', nonce: 'n', leaseMs: 60_000, crashBudget: 2 };
  expect(await store.claim(runId, by, { token: 0 })).toEqual({
    outcome: 'look',
    tenant: 't',
    thread: 'look',
  });
  expect(await store.claim(runId, by, none)).toMatchObject({ outcome: 'claimed', attempt: 2 });
});

it('lets a holder claim again with a higher token', async () => {
  const { runId } = await accept('again');
  const by = { worker: 'w', nonce: 'n', leaseMs: 60_000, crashBudget: 2 };
  await store.claim(runId, by, { token: 0 });
  expect(await store.claim(runId, by, { token: 9e15 })).toMatchObject({
    outcome: 'claimed',
    attempt: 1,
    lease: { token: 9e15 + 1 },
  });
});

describe('the end', () => {
  it('is one, whoever races, and the winner may ask again', async () => {
    const { runId } = await accept('e');
    const { lease } = await claimed(runId);
    const ends = await Promise.all([
      store.finish(runId, lease, { status: 'succeeded', answer: 'yes' }),
      store.finish(runId, lease, { status: 'succeeded', answer: 'yes' }),
      store.finish(runId, { ...lease, nonce: 'other' }, { status: 'failed' }),
      store.cancel(runId),
    ]);
    expect(ends.slice(0, 3).map((one) => 'won' in one && one.won)).toEqual([true, true, false]);
    expect((await events(runId)).filter(([, name]) => name === 'end')).toHaveLength(1);
    expect(await store.read.run('t', runId)).toMatchObject({ status: 'succeeded', answer: 'yes' });
  });

  it('comes from the claim when the crash budget is used up, and from progress it does not', async () => {
    const { runId } = await accept('f');
    const next = await accept('f');
    for (const [i, head] of ['c1', 'c2', 'c3', 'c3'].entries()) {
      const { lease } = await claimed(runId, { leaseMs: -1, head, alone: i === 3 });
      await store.begin(runId, lease, { base: '', head });
    }
    const ended = await claim(runId, { head: 'c3' });
    expect(ended).toMatchObject({ outcome: 'ended', job: { id: `${next.runId}-1`, queue: 'default' } });
    expect((await store.read.run('t', runId))?.error?.code).toBe('crash_budget');
  });

  it('does not come from crashes in company: the last try is alone', async () => {
    const { runId } = await accept('h');
    const crash = async (head: string, alone = false) => {
      const { lease } = await claimed(runId, { leaseMs: -1, head, alone });
      await store.begin(runId, lease, { base: '', head });
    };
    await crash('c1');
    await crash('c1');
    for (let i = 0; i < 5; i++) expect((await claim(runId, { head: 'c1' })).outcome).toBe('last_try');
    // It gets further, is handed back, and has the whole budget again.
    const { lease } = await claimed(runId, { head: 'c1', alone: true });
    await store.handBack(runId, lease, { delayMs: 0, usedMs: 0 });
    await crash('c2', true);
    await crash('c2');
    await crash('c2', true);
    expect((await claim(runId, { head: 'c2' })).outcome).toBe('ended');
  });

  it('is not counted against a run that was handed back', async () => {
    const { runId } = await accept('g');
    for (let i = 0; i < 10; i++) {
      const { lease } = await claimed(runId);
      expect((await store.handBack(runId, lease, { delayMs: 0, usedMs: i })).job).toBeDefined();
    }
    expect((await claimed(runId)).usedMs).toBe(9);
  });
});

describe('cancel', () => {
  it('asks a run at work, and ends one whose worker is gone', async () => {
    const { runId } = await accept('x');
    const { lease } = await claimed(runId);
    expect((await store.cancel(runId)).outcome).toBe('asked');
    expect(await store.emit(runId, lease, 1, [{ name: 'values', data: '1' }])).toBe('cancel');
    expect(await store.renew(-1, [{ runId, lease, usedMs: 0 }])).toEqual(['cancel']);
    const cancelled = await store.cancel(runId);
    expect(cancelled.outcome).toBe('ended');
    expect(cancelled.fence).toBeGreaterThan(lease.token);
    expect(await store.emit(runId, lease, 2, [{ name: 'values', data: '2' }])).toBe('lost');
    expect((await store.cancel(runId)).outcome).toBe('over');
  });
});

describe('questions', () => {
  const question = { id: 'q1', kind: 'interrupt' as const, node: 'ask', interruptId: 'i1', value: 'sure?' };
  const answer = { ...request, input: undefined, answers: { q1: 'yes' }, resume: { i1: 'yes' } };

  async function park(thread: string) {
    const { runId } = await accept(thread);
    const { lease } = await claimed(runId);
    await store.finish(runId, lease, { status: 'interrupted', questions: [question] });
    return runId;
  }

  it('park the chain; the answer goes first, and counts once', async () => {
    const asked = await park('y');
    expect(await store.read.thread('t', 'y')).toMatchObject({ status: 'interrupted', parked: asked });
    expect(await store.read.chain('t', asked)).toMatchObject({ state: 'parked', questions: [question] });
    const answers = await Promise.all(
      [1, 2, 3].map(() => store.submit(submission('y', { request: answer }))),
    );
    expect(answers.map((one) => one.outcome).sort()).toEqual(['accepted', 'stale', 'stale']);
    const run = answers.find((one) => one.outcome === 'accepted');
    expect(await store.read.chain('t', asked)).toMatchObject({
      state: 'open',
      newestRun: run && 'runId' in run && run.runId,
    });
  });

  it('of a superseded chain take no answer', async () => {
    const asked = await park('z');
    await accept('z');
    expect(await store.read.chain('t', asked)).toMatchObject({ state: 'superseded' });
    expect(await store.submit(submission('z', { request: answer }))).toEqual({ outcome: 'stale' });
  });

  it('of a cancelled chain take no answer', async () => {
    const asked = await park('v');
    expect((await store.cancel(asked)).outcome).toBe('ended');
    expect(await store.read.thread('t', 'v')).toMatchObject({ status: 'idle' });
    expect(await store.submit(submission('v', { request: answer }))).toEqual({ outcome: 'stale' });
  });

  it('are superseded by what waited behind them only when that is claimed', async () => {
    const first = await accept('w');
    const second = await accept('w');
    const { lease } = await claimed(first.runId);
    await store.finish(first.runId, lease, { status: 'interrupted', questions: [question] });
    const answered = await store.submit(submission('w', { request: answer }));
    expect(answered.outcome).toBe('accepted');
    expect((await claim(second.runId)).outcome).toBe('not_head');
  });
});

describe('deletion', () => {
  it('takes its turn, hides the thread at once, and keeps the fence', async () => {
    const first = await accept('d');
    const { lease } = await claimed(first.runId);
    const waiting = await accept('d');
    const remove = await accept('d', { createThread: false, request: { ...request, kind: 'delete_thread' } });
    expect(await store.read.thread('t', 'd')).toBeUndefined();
    expect((await store.read.run('t', waiting.runId))?.status).toBe('cancelled');
    expect((await store.submit(submission('d'))).outcome).toBe('no_thread');
    expect((await claim(remove.runId)).outcome).toBe('not_head');
    await store.finish(first.runId, lease, { status: 'cancelled' });
    const turn = await claimed(remove.runId);
    await store.finish(remove.runId, turn.lease, { status: 'succeeded' });
    expect(await store.read.run('t', first.runId)).toBeUndefined();
    expect((await claimed((await accept('d')).runId)).lease.token).toBeGreaterThan(turn.lease.token);
  });
});

it('leaves no key of an ended run without an expiry, but the thread’s own', async () => {
  const { runId } = await accept('k', { idempotency: { key: 'k', bodyHash: 'h' } });
  const { lease } = await claimed(runId);
  await store.emit(runId, lease, 1, [{ name: 'values', data: '1' }]);
  await store.finish(runId, lease, { status: 'succeeded' });
  const kept: string[] = [];
  for (const key of await test.scan()) {
    if ((await test.redis.pttl(key)) === -1) kept.push(key.split(':')[2] ?? '');
  }
  expect(kept.sort()).toEqual(['expiry', 'finished', 'lease', 'runs', 'thread']);
});

it('claims nothing for an unknown run', async () => {
  expect(
    await store.claim('nonsense', { worker: 'w', nonce: 'n', leaseMs: 1, crashBudget: 1 }, none),
  ).toEqual({
    outcome: 'over',
  });
});
