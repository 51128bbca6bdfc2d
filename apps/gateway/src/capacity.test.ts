import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger } from '@millrace/shared/logger';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Capacity, type CapacityLimits, type CapacitySource, NO_LIMITS } from './capacity.ts';
import { type TestGateway, testGateway } from './gateway-testing.ts';

let gateway: TestGateway | undefined;
afterEach(async () => {
  await gateway?.close();
  gateway = undefined;
});

async function start(env: Record<string, string>): Promise<TestGateway> {
  gateway = await testGateway({ env });
  return gateway;
}

const post = (one: TestGateway, headers: Record<string, string> = {}) =>
  one.send('POST', '/message', { body: { query: 'Hi' }, headers: { Prefer: 'wait=0', ...headers } });
const runOf = async (response: Response) => ((await response.json()) as { run_id: string }).run_id;
const retryAfter = (response: Response) => Number(response.headers.get('Retry-After'));

/** A second makes the last reading old. */
const nextReading = () => sleep(1_050);

describe('a tenant with too many runs', () => {
  const env = { MAX_OPEN_RUNS_PER_TENANT: '3', API_KEYS: 'acme:a,other:b' };
  const acme = { 'X-Api-Key': 'a' };

  it('is refused, all at once or one by one, and others are not', async () => {
    const one = await start(env);
    const burst = await Promise.all(Array.from({ length: 20 }, () => post(one, acme)));
    expect(burst.filter((response) => response.status === 202)).toHaveLength(3);
    await nextReading();
    const refused = await post(one, acme);
    expect(refused.status).toBe(429);
    expect(await refused.json()).toMatchObject({ code: 'too_many_runs' });
    expect(retryAfter(refused)).toBeGreaterThanOrEqual(1);
    expect(retryAfter(refused)).toBeLessThanOrEqual(60);
    expect((await post(one, { 'X-Api-Key': 'b' })).status).toBe(202);
    expect(await one.registry.metrics()).toContain('millrace_shed_total{reason="tenant_runs"} 18\n');
    expect(await one.registry.metrics()).toMatch(/millrace_open_runs [34]\n/);
  });

  it('gets in again when one has ended', async () => {
    const one = await start(env);
    const runs = await Promise.all([post(one, acme), post(one, acme), post(one, acme)]);
    expect((await post(one, acme)).status).toBe(429);
    await one.begin(await runOf(runs[0] as Response), []).then((end) => end({ status: 'succeeded' }));
    await nextReading();
    expect((await post(one, acme)).status).toBe(202);
    expect((await post(one, acme)).status).toBe(429);
  });

  it('is not refused what it submitted before', async () => {
    const one = await start(env);
    const keyed = { ...acme, 'Idempotency-Key': 'k' };
    const first = await runOf(await post(one, keyed));
    await post(one, acme);
    await post(one, acme);
    expect((await post(one, acme)).status).toBe(429);
    expect(await runOf(await post(one, keyed))).toBe(first);
  });

  it('is not refused for orders that the store did not take', async () => {
    const one = await start(env);
    const body = { assistant_id: 'agent', input: {}, multitask_strategy: 'reject' };
    await one.send('POST', '/threads', { body: { thread_id: 't' }, headers: acme });
    const again = () => one.send('POST', '/threads/t/runs', { body, headers: acme });
    expect((await again()).status).toBe(200);
    for (let i = 0; i < 5; i += 1) expect((await again()).status).toBe(422);
    expect((await post(one, acme)).status).toBe(202);
  });

  it('can answer, cancel and delete', async () => {
    const one = await start(env);
    const headers = acme;
    const asked = await one.send('POST', '/message', {
      body: { query: 'Hi', thread_id: 'asks' },
      headers: { ...acme, Prefer: 'wait=0' },
    });
    const question = { id: 'q', kind: 'interrupt' as const, node: 'n', interruptId: 'i', value: '?' };
    await one.work(await runOf(asked), { status: 'interrupted', questions: [question] });
    await nextReading();
    const runs = [await post(one, acme), await post(one, acme), await post(one, acme)];
    expect(runs.map((run) => run.status)).toEqual([202, 202, 202]);
    expect((await post(one, acme)).status).toBe(429);
    const answer = { command: { resume: 'yes' }, thread_id: 'asks' };
    const answered = await one.send('POST', '/message', {
      body: answer,
      headers: { ...acme, Prefer: 'wait=0' },
    });
    expect(answered.status).toBe(202);
    const cancelled = await one.send('DELETE', `/message/${await runOf(runs[0] as Response)}`, { headers });
    expect(cancelled.status).toBe(200);
    expect((await one.send('DELETE', '/threads/asks', { headers })).status).toBe(204);
  });

  it('gets a batch in whole or not at all', async () => {
    const one = await start(env);
    await post(one, acme);
    const body = Array.from({ length: 3 }, () => ({ assistant_id: 'agent', input: {} }));
    expect((await one.send('POST', '/runs/batch', { body, headers: acme })).status).toBe(429);
    expect(await one.services.store.open.ofTenant('acme')).toBe(1);
    const fits = await one.send('POST', '/runs/batch', { body: body.slice(1), headers: acme });
    expect(fits.status).toBe(200);
  });
});

describe('a full system', () => {
  it('refuses whoever asks', async () => {
    const one = await start({ MAX_OPEN_RUNS: '2', API_KEYS: 'acme:a,other:b' });
    expect((await post(one, { 'X-Api-Key': 'a' })).status).toBe(202);
    expect((await post(one, { 'X-Api-Key': 'b' })).status).toBe(202);
    const refused = await post(one, { 'X-Api-Key': 'b' });
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ code: 'overloaded' });
    expect(retryAfter(refused)).toBeGreaterThanOrEqual(1);
  });

  it('is full by bytes, too', async () => {
    const one = await start({ MAX_QUEUED_BYTES: '100' });
    const first = await post(one);
    expect((await post(one)).status).toBe(503);
    await nextReading();
    expect((await post(one)).status).toBe(503);
    await one.work(await runOf(first), { status: 'succeeded' });
    await nextReading();
    expect((await post(one)).status).toBe(202);
    expect(await one.registry.metrics()).toContain('millrace_shed_total{reason="bytes"} 2\n');
  });

  it('is full for another gateway, too', async () => {
    const one = await start({ MAX_OPEN_RUNS: '1' });
    expect((await post(one)).status).toBe(202);
    const other = new Capacity(
      { load: () => one.services.store.open.load(), ofTenant: async () => 0, memory: async () => 0 },
      one.services.capacity.limits,
      one.services.logger,
    );
    await expect(other.admit('t', { bytes: 1, runs: 1 })).rejects.toMatchObject({ code: 'overloaded' });
  });
});

describe('by the numbers', () => {
  const load = { runs: 0, bytes: 0, endedPerSecond: 0 };
  const capacity = (limits: Partial<CapacityLimits>, source: Partial<CapacitySource> = {}) =>
    new Capacity(
      { load: async () => load, ofTenant: async () => 0, memory: async () => 0, ...source },
      { ...NO_LIMITS, ...limits },
      createLogger('test', 'silent'),
    );
  const wait = async (one: Capacity) => {
    const error: unknown = await one.admit('t', { bytes: 100, runs: 1 }).catch((reason: unknown) => reason);
    return (error as { retryAfterSeconds?: number }).retryAfterSeconds ?? 0;
  };

  it.each([
    ['runs', { openRuns: 100 }, { runs: 149, endedPerSecond: 5 }, 10, 13],
    ['runs that end fast', { openRuns: 100 }, { runs: 100, endedPerSecond: 500 }, 1, 2],
    ['runs that do not end', { openRuns: 100 }, { runs: 100 }, 48, 60],
    ['runs that end slowly', { openRuns: 1 }, { runs: 9_000, endedPerSecond: 0.1 }, 48, 60],
    ['bytes', { queuedBytes: 1_000 }, { runs: 10, bytes: 1_900, endedPerSecond: 1 }, 6, 7],
  ])('a caller is told to come back at the pace of the %s', async (_, limits, more, least, most) => {
    const told = await wait(capacity(limits, { load: async () => ({ ...load, ...more }) }));
    expect(told).toBeGreaterThanOrEqual(least);
    expect(told).toBeLessThanOrEqual(most);
  });

  it('a tenant waits for its own share of the ends', async () => {
    const told = await wait(
      capacity(
        { openRunsPerTenant: 10 },
        { load: async () => ({ ...load, runs: 100, endedPerSecond: 1 }), ofTenant: async () => 10 },
      ),
    );
    expect(told).toBeGreaterThanOrEqual(10);
    expect(told).toBeLessThanOrEqual(13);
  });

  it('many callers share a reading, a second long', async () => {
    let reads = 0;
    const one = capacity(
      { openRuns: 1_000 },
      {
        load: async () => {
          reads += 1;
          return load;
        },
      },
    );
    await Promise.all(Array.from({ length: 100 }, () => one.admit('t', { bytes: 1, runs: 1 })));
    await one.admit('t', { bytes: 1, runs: 1 });
    expect(reads).toBe(1);
    await nextReading();
    await one.admit('t', { bytes: 1, runs: 1 });
    expect(reads).toBe(2);
  });

  it('nothing is read without limits', async () => {
    const never = () => Promise.reject(new Error('read'));
    await capacity({}, { load: never, ofTenant: never, memory: never }).admit('t', { bytes: 1, runs: 1 });
  });

  it('a fault refuses nobody, and holds up those who asked during it alone', async () => {
    let reads = 0;
    const hang = () => {
      reads += 1;
      return new Promise<never>(() => undefined);
    };
    const hangs = capacity({ openRuns: 1, openRunsPerTenant: 1 }, { load: hang, ofTenant: hang });
    const admit = () => hangs.admit('t', { bytes: 1, runs: 1 });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const during = Promise.all(Array.from({ length: 10 }, admit));
      await vi.advanceTimersByTimeAsync(1_000);
      await during;
      // No timer ends these.
      for (let i = 0; i < 10; i += 1) await admit();
    } finally {
      vi.useRealTimers();
    }
    expect(reads).toBe(2);
    const fails = capacity({ openRuns: 1 }, { load: () => Promise.reject(new Error('away')) });
    for (let i = 0; i < 5; i += 1) await fails.admit('t', { bytes: 1, runs: 1 });
  });
});
