import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RUN_RECORD_VERSION } from './contract/run.ts';
import { partitionOfThread } from './partition.ts';
import type { Finish, Retention, Submission } from './run-moves.ts';
import { RunStore } from './run-store.ts';
import type { Place } from './tenant-list.ts';
import { type TestRedis, testRedis } from './test-redis.ts';
import { threadsOfOnePartition } from './test-threads.ts';

/** The list of a tenant's chains. */

const HOUR_MS = 3600_000;

let test: TestRedis;
let store: RunStore;

const storeWith = (retention: Partial<Retention> = {}) =>
  new RunStore(test.redis, {
    keys: test.keys,
    retention: { runsMs: HOUR_MS, runsKept: 2, threadsMs: 2 * HOUR_MS, ...retention },
  });

beforeEach(async () => {
  test = await testRedis();
  store = storeWith();
});
afterEach(() => test.close());

const request: Submission['request'] = {
  kind: 'graph',
  graph: 'g',
  assistantId: 'a',
  input: {},
  streamModes: [],
};

async function accept(thread: string, more: Partial<Submission> = {}): Promise<string> {
  const options = { createThread: true, queue: 'default', multitask: 'enqueue' as const };
  const result = await store.submit({ tenant: 't', thread, request, ...options, ...more });
  if (result.outcome !== 'accepted') throw new Error(`refused: ${result.outcome}`);
  return result.runId;
}

async function run(
  thread: string,
  more: Partial<Submission> = {},
  end: Finish = { status: 'succeeded' },
): Promise<string> {
  const id = await accept(thread, more);
  const by = { worker: 'w', nonce: randomUUID(), leaseMs: 60_000, crashBudget: 3 };
  const claim = await store.claim(id, by, { token: 0, head: '' });
  if (claim.outcome !== 'claimed') throw new Error(`not claimed: ${claim.outcome}`);
  await store.finish(id, claim.lease, end);
  return id;
}

async function page(limit: number, after?: Place, tenant = 't') {
  const { items, next } = await store.chains.list(tenant, { limit, after });
  return { items: items.map((one) => one.chain.id), next };
}
const rootOf = (thread: string) => test.keys.root(partitionOfThread(thread));
const listOf = (thread: string) => test.keys.tenantChains(rootOf(thread), 't');

it('has every chain of all partitions once, those that began last first', async () => {
  const all: string[] = [];
  for (let n = 0; n < 12; n++) all.push(await accept(`thread-${n % 7}`));
  const found: string[] = [];
  let after: Place | undefined;
  do {
    const { items, next } = await page(5, after);
    found.push(...items);
    after = next;
  } while (after);
  expect(found).toEqual(all.reverse());
  expect((await page(5, undefined, 'other')).items).toEqual([]);
});

it('goes on after a place whose chain is gone, and fills its pages with those that are there', async () => {
  const all: string[] = [];
  for (let n = 0; n < 6; n++) all.push(await accept(`thread-${n}`));
  const { items, next } = await page(2);
  expect(items).toEqual([all[5], all[4]]);
  for (const n of [4, 3]) await test.redis.unlink(test.keys.chain(rootOf(`thread-${n}`), all[n] ?? ''));
  expect((await page(2, next)).items).toEqual([all[2], all[1]]);
});

it('costs a bounded number of commands, however much has expired, and is rid of what it has seen', async () => {
  const first = await accept('x');
  const gone: string[] = [];
  for (let n = 0; n < 100; n++) gone.push(await accept('x'));
  await test.redis.unlink(...gone.map((id) => test.keys.chain(rootOf('x'), id)));
  const short = await page(3);
  expect([short.items, short.next?.id]).toEqual([[], gone[100 - 30]]);
  expect(await test.redis.zcard(listOf('x'))).toBe(1 + 100 - 30);
  let after = short.next;
  while (after) {
    const { items, next } = await page(3, after);
    expect(items).toEqual(next ? [] : [first]);
    after = next;
  }
  expect(await test.redis.zrange(listOf('x'), 0, -1)).toEqual([first]);
});

it('passes over what a later release has stored, and keeps it', async () => {
  const later = await accept('x');
  const now = await accept('x');
  await test.redis.hset(test.keys.run(rootOf('x'), later), 'version', RUN_RECORD_VERSION + 1);
  expect((await page(10)).items).toEqual([now]);
  expect(await test.redis.zrange(listOf('x'), 0, -1)).toEqual([later, now]);
});

it('loses those of a thread that is deleted', async () => {
  await run('x');
  const other = await run('y');
  await run('x', { request: { ...request, kind: 'delete_thread' } });
  expect((await page(10)).items).toEqual([other]);
  expect(await test.redis.exists(listOf('x'))).toBe(0);
});

it('keeps the place of a chain whose dead run is run again', async () => {
  const dead = await run('x', {}, { status: 'failed', error: { code: 'graph_changed', message: 'no' } });
  const other = await accept('y');
  const again = await accept('x', { rerun: dead });
  expect((await page(10)).items).toEqual([other, dead]);
  expect((await store.read.chainView('t', dead))?.run.id).toBe(again);
});

it('has no turns that are no runs of the graph', async () => {
  const chain = await accept('x');
  await accept('x', { request: { ...request, kind: 'update_state' } });
  await accept('x', { request: { ...request, kind: 'delete_thread' } });
  expect((await page(10)).items).toEqual([chain]);
});

it('forgets what is dropped by number', async () => {
  const kept: string[] = [];
  for (let n = 0; n < 5; n++) kept.push(await run('x'));
  expect(await test.redis.zrange(listOf('x'), 0, -1)).toEqual(kept.slice(-2));
});

it('forgets what expired, also behind what waits', async () => {
  store = storeWith({ runsMs: 1, runsKept: 0 });
  const here = threadsOfOnePartition();
  const [first, busy] = [here.next().value, here.next().value];
  const waiting: string[] = [];
  for (let n = 0; n < 20; n++) waiting.push(await accept(first));
  for (let n = 0; n < 100; n++) await run(busy);
  // Now and then, some of them by chance.
  while ((await test.redis.zcard(listOf(first))) > 40) await run(busy);
  expect(await test.redis.zrange(listOf(first), 0, 19)).toEqual(waiting);
});

it('lives a week longer than the last of the tenant’s threads', async () => {
  const WEEK_MS = 7 * 24 * HOUR_MS;
  const here = threadsOfOnePartition();
  const first = here.next().value;
  const ttl = () => test.redis.pttl(listOf(first));
  await run(first, { throwaway: true });
  expect(await ttl()).toBeGreaterThan(WEEK_MS);
  expect(await ttl()).toBeLessThanOrEqual(WEEK_MS + HOUR_MS);
  store = storeWith({ threadsMs: 48 * HOUR_MS });
  await run(here.next().value);
  expect(await ttl()).toBeGreaterThan(WEEK_MS + 47 * HOUR_MS);
  await run(here.next().value, { throwaway: true });
  expect(await ttl()).toBeGreaterThan(WEEK_MS + 47 * HOUR_MS);
  store = storeWith({ threadsMs: 0 });
  await run(here.next().value);
  expect(await ttl()).toBe(-1);
  store = storeWith();
  await run(here.next().value);
  expect(await ttl()).toBe(-1);
});
