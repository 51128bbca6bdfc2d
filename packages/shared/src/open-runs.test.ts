import { randomUUID } from 'node:crypto';
import { Command, type Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RunRequest } from './contract/run.ts';
import { PARTITIONS, partitionOfThread } from './partition.ts';
import type { Claim, Submission } from './run-moves.ts';
import { RunStore } from './run-store.ts';
import { type TestRedis, testRedis } from './test-redis.ts';

let test: TestRedis;
let store: RunStore;

const request: RunRequest = {
  kind: 'graph',
  graph: 'agent',
  assistantId: 'a',
  input: { text: 'Grüße' },
  streamModes: [],
};
const bytes = Buffer.byteLength(JSON.stringify(request));

async function accept(thread: string, more: Partial<Submission> = {}) {
  const result = await store.submit({
    tenant: 't',
    thread,
    createThread: true,
    request,
    queue: 'default',
    multitask: 'enqueue',
    ...more,
  });
  if (result.outcome !== 'accepted') throw new Error(`refused: ${result.outcome}`);
  return result.runId;
}

const claim = (runId: string, leaseMs = 60_000, crashBudget = 3) =>
  store.claim(runId, { worker: 'w', nonce: randomUUID(), leaseMs, crashBudget }, { token: 0, head: '' });

async function claimed(runId: string, leaseMs?: number): Promise<Claim> {
  const result = await claim(runId, leaseMs);
  if (result.outcome !== 'claimed') throw new Error(`not claimed: ${result.outcome}`);
  return result;
}

/** The number of open runs, and that all there is about them agrees. */
async function open(): Promise<number> {
  const { runs, bytes: sum } = await store.open.load();
  let members: string[] = [];
  for (let partition = 0; partition < PARTITIONS; partition += 1) {
    members = members.concat(
      await test.redis.zrange(`${test.keys.root(partition)}:open`, 0, -1, 'WITHSCORES'),
    );
  }
  const scores = members.filter((_, i) => i % 2 === 1).map(Number);
  expect(scores).toHaveLength(runs);
  expect(scores.reduce((a, b) => a + b, 0)).toBe(sum);
  expect(await store.open.ofTenant('t')).toBe(runs);
  return runs;
}

const leftovers = async () => (await test.scan()).filter((key) => key.includes(':open'));

/** As ioredis does when a reply was lost: every script runs, and what the caller hears is the second try. */
function sendTwice(): void {
  const { redis } = test;
  const send: Redis['sendCommand'] = redis.sendCommand.bind(redis);
  const twice: Redis['sendCommand'] = (command, stream) => {
    if (command.name === 'evalsha' || command.name === 'eval') {
      const first = new Command(command.name, command.args);
      first.promise.catch(() => undefined);
      send(first, stream);
    }
    return send(command, stream);
  };
  redis.sendCommand = twice;
}

describe.each(['once', 'twice'])('runs that have not ended, each script sent %s', (times) => {
  beforeEach(async () => {
    test = await testRedis();
    store = new RunStore(test.redis, { keys: test.keys });
    if (times === 'twice') sendTwice();
  });
  afterEach(() => test.close());

  it('count from the submit to the finish, with the bytes of their requests', async () => {
    const first = await accept('a');
    await accept('a');
    await accept('b', { idempotency: { key: 'k', bodyHash: 'h' } });
    await accept('b', { idempotency: { key: 'k', bodyHash: 'h' } });
    expect(await open()).toBe(3);
    expect((await store.open.load()).bytes).toBe(3 * bytes);
    const { lease } = await claimed(first);
    expect(await open()).toBe(3);
    await store.finish(first, lease, { status: 'succeeded' });
    expect(await open()).toBe(2);
    expect((await store.open.load()).endedPerSecond).toBeGreaterThanOrEqual(1 / 20);
    expect((await store.open.load()).endedPerSecond).toBeLessThanOrEqual(1 / 10);
  });

  it('are each a tenant’s', async () => {
    await accept('a', { tenant: 'o/t:h{e}r' });
    expect(await store.open.ofTenant('o/t:h{e}r')).toBe(1);
    expect(await store.open.ofTenant('t')).toBe(0);
  });

  it('leave with each way to end, and nothing behind', async () => {
    const waiting = await accept('a');
    const delayed = await accept('b', { afterMs: 60_000 });
    await store.cancel(waiting);
    await store.cancel(delayed);
    expect(await open()).toBe(0);

    const crashing = await accept('c');
    await claimed(crashing, -1);
    await claim(crashing, -1, 0);
    expect((await store.read.run('t', crashing))?.error?.code).toBe('crash_budget');
    expect(await open()).toBe(0);

    const stopped = await accept('d');
    const holder = await claimed(stopped);
    await store.cancel(stopped);
    expect(await open()).toBe(1);
    await store.handBack(stopped, holder.lease, { delayMs: 0, usedMs: 0 });
    expect(await open()).toBe(0);

    const asking = await accept('e');
    const { lease } = await claimed(asking);
    await store.finish(asking, lease, { status: 'interrupted', questions: [] });
    expect(await open()).toBe(0);
    expect(await leftovers()).toEqual([]);
  });

  it('stay while they are handed back, and while a lease is expired', async () => {
    const run = await accept('a');
    const { lease } = await claimed(run);
    await store.handBack(run, lease, { delayMs: 0, usedMs: 0 });
    expect(await open()).toBe(1);
    await claimed(run, -1);
    await store.sweep(partitionOfThread('a'), { limit: 10, ringAfterMs: 0 });
    expect(await open()).toBe(1);
  });

  it('go with their thread, also one that should have ended before', async () => {
    await accept('a');
    await accept('a', { afterMs: 60_000 });
    const deletion = await accept('a', {
      createThread: false,
      request: { ...request, kind: 'delete_thread' },
    });
    // A deletion is held against nobody.
    expect(await open()).toBe(0);
    const root = test.keys.root(partitionOfThread('a'));
    const lost = randomUUID();
    await test.redis.zadd(`${root}:runs:t/a`, 1, lost);
    await test.redis.zadd(`${root}:open`, 7, lost);
    await test.redis.incrby(`${root}:open-bytes`, 7);
    await test.redis.zadd(test.keys.tenantOpen(root, 't'), 7, lost);
    expect(await open()).toBe(1);
    const { lease } = await claimed(deletion);
    await store.finish(deletion, lease, { status: 'succeeded' });
    expect(await open()).toBe(0);
    expect(await leftovers()).toEqual([]);
  });
});
