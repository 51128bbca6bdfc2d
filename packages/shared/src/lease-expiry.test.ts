import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { partitionOfThread } from './partition.ts';
import { timeOf } from './redis.ts';
import type { Claim } from './run-moves.ts';
import { RunStore } from './run-store.ts';
import { type TestRedis, testRedis } from './test-redis.ts';
import { threadsOfOnePartition } from './test-threads.ts';

/** What a sweep makes of leases that were not renewed in time. */

const LEASE_MS = 1_000;
const partition = partitionOfThread('thread-0');

let test: TestRedis;
let store: RunStore;
beforeEach(async () => {
  test = await testRedis();
  store = new RunStore(test.redis, { keys: test.keys });
});
afterEach(() => test.close());

const claim = (runId: string) => {
  const by = { worker: 'w', nonce: randomUUID(), leaseMs: LEASE_MS, crashBudget: 3 };
  return store.claim(runId, by, { token: 0, head: '' });
};

/** A run at work, in a partition that somebody has just looked at. */
async function atWork(thread = 'thread-0'): Promise<Claim> {
  const submitted = await store.submit({
    tenant: 't',
    thread,
    createThread: true,
    request: { kind: 'graph', graph: 'g', assistantId: 'g', input: {}, streamModes: [] },
    queue: 'default',
    multitask: 'enqueue',
  });
  if (submitted.outcome !== 'accepted') throw new Error(submitted.outcome);
  const claimed = await claim(submitted.runId);
  if (claimed.outcome !== 'claimed') throw new Error(claimed.outcome);
  await sweep();
  return claimed;
}

const sweep = async (limit = 10) => (await store.sweep(partition, { limit, ringAfterMs: 60_000 })).jobs;
/** Looks all the time until there is something to ring. */
async function nextJobs() {
  for (;;) {
    const jobs = await sweep();
    if (jobs.length > 0) return jobs;
  }
}
const status = async (runId: string) => (await store.read.run('t', runId))?.status;
const deadline = async (thread = 'thread-0') =>
  Number(await test.redis.hget(`${test.keys.root(partition)}:lease:t/${thread}`, 'deadline'));

/** Until the leases have run out, by the clock of Redis. Nobody has looked since they were given. */
async function runOut(threads = ['thread-0']): Promise<void> {
  const ends = await Promise.all(threads.map(deadline));
  const end = Math.max(...ends);
  await test.redis.set(`${test.keys.root(partition)}:swept`, Math.min(...ends) - LEASE_MS);
  while ((await timeOf(test.redis)) <= end + 1);
}

it('leaves a run to its holder when nobody could renew, however short the outage', async () => {
  const { runId, lease } = await atWork();
  await runOut();
  expect((await claim(runId)).outcome).toBe('leased');
  expect(await sweep()).toEqual([]);
  expect(await status(runId)).toBe('running');
  const held = [{ runId, lease, usedMs: 0 }];
  expect(await store.renew(LEASE_MS, held)).toEqual(['ok']);
  // A renewal makes it a lease like any other.
  await sweep();
  await runOut();
  expect(await sweep()).toEqual([]);
  expect(await status(runId)).toBe('running');
});

it('gives it the time that connecting again may take, however short the lease', async () => {
  const { runId } = await atWork();
  await runOut();
  const found = await timeOf(test.redis);
  await sweep();
  expect((await deadline()) - found).toBeGreaterThan(2_400);
  expect(await status(runId)).toBe('running');
});

it('gives that time once', async () => {
  const { runId } = await atWork();
  await runOut();
  await sweep();
  const end = await deadline();
  expect(await nextJobs()).toEqual([{ id: `${runId}-2`, queue: 'default' }]);
  expect(await timeOf(test.redis)).toBeGreaterThanOrEqual(end);
  expect(await status(runId)).toBe('queued');
  expect((await claim(runId)).outcome).toBe('claimed');
});

it('passes a run on at once whose holder others could have seen renew', async () => {
  const { runId } = await atWork();
  const end = await deadline();
  expect(await nextJobs()).toEqual([{ id: `${runId}-2`, queue: 'default' }]);
  expect(await deadline()).toBe(end);
});

it('spares all whom an outage hit, however many there are', async () => {
  const all = threadsOfOnePartition();
  const threads = Array.from({ length: 5 }, () => all.next().value);
  const claims = await Promise.all(threads.map((thread) => atWork(thread)));
  const held = claims.map(({ runId, lease }) => ({ runId, lease, usedMs: 0 }));
  await store.renew(LEASE_MS, held);
  await runOut(threads);
  for (let i = 0; i < 4; i += 1) expect(await sweep(2)).toEqual([]);
  for (const { runId } of claims) expect(await status(runId)).toBe('running');
});

it('takes a gateway that is always late for no outage without end', async () => {
  const { runId } = await atWork();
  const swept = `${test.keys.root(partition)}:swept`;
  for (let late = 0; late < 3; late += 1) {
    await runOut();
    await test.redis.set(swept, 0);
    expect((await claim(runId)).outcome).toBe('leased');
    expect(await sweep()).toEqual([]);
  }
  await runOut();
  await test.redis.set(swept, 0);
  expect(await sweep()).toEqual([{ id: `${runId}-2`, queue: 'default' }]);
  expect((await claim(runId)).outcome).toBe('claimed');
});
