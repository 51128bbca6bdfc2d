import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { catalogEntry, type TestGateway, testGateway } from '../gateway-testing.ts';
import { slotsForWait } from '../use-cases/scale.ts';

let gateway: TestGateway;

beforeEach(async () => {
  gateway = await testGateway({
    graphs: [catalogEntry('agent'), catalogEntry('big', { queue: 'heavy' })],
    env: { API_KEYS: 'key' },
  });
});
afterEach(() => gateway.close());

async function submit(graph: string, times = 1): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < times; i++) {
    const response = await gateway.send('POST', '/runs', {
      body: { assistant_id: graph, input: {} },
      headers: { Authorization: 'Bearer key' },
    });
    ids.push(((await response.json()) as { run_id: string }).run_id);
  }
  return ids;
}

const scale = (path: string, headers: Record<string, string> = {}) =>
  gateway.send('GET', `/scale/${path}`, { headers });

describe('/scale', () => {
  it('gives the demand of one queue and the workers for it, without credentials, under any host name', async () => {
    await submit('agent', 9);
    const [executing = ''] = await submit('big', 2);
    await gateway.begin(executing, []);
    const response = await scale('default', { Host: '10.1.2.3:2024' });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      queue: 'default',
      demand: 9,
      waiting: 9,
      active: 0,
      unrung: 0,
      oldest_wait_seconds: expect.any(Number),
      concurrency: 4,
      average_run_seconds: null,
      target_wait_seconds: 30,
      desired_replicas: 3,
      desired_replicas_slo: 3,
    });
    expect(await (await scale('heavy')).json()).toMatchObject({ demand: 2, desired_replicas: 1 });
  });

  it('goes by the concurrency and the run times that workers tell, or as it is asked', async () => {
    await submit('agent', 12);
    const { pace } = gateway.services.store;
    await pace.note('default', 2, { runs: 4, ms: 80_000 });
    await pace.note('default', 3, { runs: 0, ms: 0 });
    const told = { concurrency: 3, average_run_seconds: 20, desired_replicas: 4 };
    // Within 40 s each slot takes three: 12 need four slots, and so two workers.
    expect(await (await scale('default?target_wait_seconds=40')).json()).toMatchObject({
      ...told,
      target_wait_seconds: 40,
      desired_replicas_slo: 2,
    });
    expect(await (await scale('default?target_wait_seconds=0')).json()).toMatchObject({
      ...told,
      desired_replicas_slo: 4,
    });
    expect(
      await (await scale('default?concurrency=1&min=1&max=10&target_wait_seconds=40')).json(),
    ).toMatchObject({ concurrency: 1, desired_replicas: 10, desired_replicas_slo: 4 });
    expect(await (await scale('heavy?min=2')).json()).toMatchObject({ demand: 0, desired_replicas: 2 });
  });

  it('weighs recent runs more', async () => {
    const { pace } = gateway.services.store;
    await pace.note('default', 4, { runs: 10, ms: 100_000 });
    const key = gateway.test.keys.pace('default');
    await gateway.test.redis.hincrby(key, 'at', -300_000);
    await pace.note('default', 4, { runs: 5, ms: 5_000 });
    expect((await pace.read('default')).runSeconds).toBeCloseTo((5 * 10 + 5 * 1) / 10, 1);
  });

  it('names the queues there are when there is none of that name', async () => {
    const response = await scale('other');
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({
      code: 'not_found',
      detail: 'There is no queue "other"; there are: default, heavy',
    });
  });

  it('knows a queue whose workers nobody remembers, as long as something is in it', async () => {
    await gateway.services.store.submit({
      tenant: 't',
      thread: 'x',
      createThread: true,
      request: { kind: 'graph', graph: 'gone', assistantId: 'gone', input: {}, streamModes: [] },
      queue: 'gone',
      multitask: 'enqueue',
    });
    expect(await (await scale('gone')).json()).toMatchObject({ demand: 1, unrung: 1, desired_replicas: 1 });
  });

  it('asks for the first worker of any queue where none has ever been', async () => {
    await gateway.test.redis.del(gateway.test.keys.catalog());
    expect(await (await scale('whatever?concurrency=8')).json()).toMatchObject({
      demand: 1,
      desired_replicas: 1,
      desired_replicas_slo: 1,
    });
  });

  it('is 503 while Redis is away', async () => {
    gateway.test.redis.disconnect();
    const response = await scale('default');
    expect(response.status).toBe(503);
    expect(response.headers.get('Retry-After')).toBe('1');
    await gateway.test.redis.connect();
  });

  it.each(['concurrency=0', 'concurrency=x', 'min=2&max=1', 'target_wait_seconds=-1', 'max=1.5'])(
    'refuses %s and names the parameter',
    async (query) => {
      const response = await scale(`default?${query}`);
      expect(response.status).toBe(422);
      const { field } = (await response.json()) as { field: string };
      expect(query).toContain(field);
    },
  );
});

describe('the slots for a target wait', () => {
  /** When the last run begins that waits now: each slot takes the next one when its own is over. */
  function lastBegins(demand: number, active: number, runSeconds: number, slots: number): number {
    // Of those at work some have just begun and some are about to end.
    const free = Array.from({ length: slots }, (_, i) =>
      i < active ? (runSeconds * (i + 0.5)) / active : 0,
    );
    let last = 0;
    for (let waiting = demand - active; waiting > 0; waiting--) {
      free.sort((a, b) => a - b);
      last = free[0] ?? Number.POSITIVE_INFINITY;
      free[0] = last + runSeconds;
    }
    return last;
  }

  it.each([
    [100, 0, 10, 30],
    [100, 20, 10, 30],
    [1000, 50, 2, 60],
    [400, 100, 60, 120],
    [7, 3, 5, 20],
  ])(
    'let %i runs, %i of them at work, of %i s begin within %i s, and hardly sooner',
    (demand, active, run, wait) => {
      const slots = Math.ceil(slotsForWait({ demand, active }, run, wait));
      // An average: what is under way is not known to the second.
      expect(lastBegins(demand, active, run, slots)).toBeLessThanOrEqual(wait + run / 2);
      if (slots > active + 1) {
        const fewer = Math.floor((slots - 1) * 0.8);
        expect(lastBegins(demand, Math.min(active, fewer), run, fewer)).toBeGreaterThan(wait - run / 2);
      }
    },
  );

  it('are never fewer than those at work, and none without demand', () => {
    expect(slotsForWait({ demand: 10, active: 10 }, 5, 1_000)).toBe(10);
    expect(slotsForWait({ demand: 1, active: 0 }, 0.001, 1_000)).toBe(1);
    expect(slotsForWait({ demand: 0, active: 0 }, 5, 30)).toBe(0);
    // A paused queue: its runs at work are no reason for more.
    expect(slotsForWait({ demand: 0, active: 4 }, 5, 30)).toBe(0);
  });
});
