import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { timeOf } from '@millrace/shared/redis';
import { RunStore } from '@millrace/shared/run-store';
import { beforeAll, expect, it, vi } from 'vitest';
import { clockOff, type FoundLibrary, findLibfaketime } from '../../scripts/libfaketime.ts';
import { faketimeCacheDir } from '../../scripts/paths.ts';
import { events } from '../sse-events.ts';
import { check } from './checker.ts';
import type { Acknowledged } from './load.ts';
import { scenarios, steps } from './scenario.ts';

/** Processes whose clocks disagree with each other and with Redis. */

vi.setConfig({ testTimeout: 180_000 });

const start = scenarios();

const HOUR_S = 3600;
const LEASE_MS = 2_000;
const DELAY_S = 2;

let library: FoundLibrary;
beforeAll(async () => {
  library = await findLibfaketime({ cacheDir: faketimeCacheDir, env: process.env, log: () => undefined });
}, 300_000);

const only = (graph: 'echo' | 'chain') => fileURLToPath(new URL(`../graphs/${graph}.json`, import.meta.url));

/** Whether the distribution's servers cannot be reached from here, or it has no such packages at all. */
const cannotBeHad = /apt-get|Linux only|resolve|connect|timed out|too long|unreachable/i;

it('clocks a second and an hour ahead and behind: nothing is early, late, lost or out of order', async (context) => {
  if ('reason' in library) {
    expect(library.reason).toMatch(cannotBeHad);
    return context.skip(`no libfaketime: ${library.reason}`);
  }
  const { file } = library;
  // Each graph has workers and a queue of its own, so that turns of one thread go from clock to clock.
  const { fleet, client } = await start({
    gateways: 0,
    workers: 0,
    env: { WORKER_CONCURRENCY: '1', LEASE_SECONDS: String(LEASE_MS / 1000) },
  });
  const worker = (graph: 'echo' | 'chain', off: number) =>
    fleet.startWorker({ ...clockOff(file, off), LANGGRAPH_CONFIG: only(graph) });
  await Promise.all([
    worker('echo', HOUR_S),
    worker('echo', -1),
    worker('chain', -HOUR_S),
    worker('chain', 1),
    ...[HOUR_S, -HOUR_S].map((off) => fleet.startGateway(clockOff(file, off))),
  ]);
  const redis = fleet.connect();
  const began = await timeOf(redis);

  // Both of its workers hold a run in a step for longer than a lease, and the other two wait.
  fleet.ledger.hold('b');
  const threads = ['t1', 't2', 't3', 't4'];
  await Promise.all(threads.map((thread) => client.submit('chain', thread, 'n0', { again: true })));
  await fleet.ledger.called('b', 2);
  await sleep(2.5 * LEASE_MS);
  for (const { url } of fleet.gateways) {
    const page = await (await fetch(`${url}/metrics`)).text();
    const [, waits] = /millrace_queue_oldest_wait_seconds\{queue="chain"\} (\S+)/.exec(page) ?? [];
    expect(Number(waits)).toBeGreaterThan(0);
    expect(Number(waits)).toBeLessThan(HOUR_S / 2);
  }
  fleet.ledger.release('b');

  const delayed = await Promise.all(
    fleet.gateways.map(async ({ url }, i): Promise<Acknowledged> => {
      const thread = `later${i}`;
      const body = {
        assistant_id: 'echo',
        input: { text: 'x' },
        after_seconds: DELAY_S,
        if_not_exists: 'create',
      };
      const response = await fetch(`${url}/threads/${thread}/runs`, {
        method: 'POST',
        body: JSON.stringify(body),
      });
      const { run_id: runId } = (await response.json()) as { run_id: string };
      return { runId, thread, graph: 'echo', text: 'x' };
    }),
  );
  await Promise.all(
    threads.map(async (thread) => {
      for (const turn of [1, 2, 3, 4, 5]) {
        await client.submit(turn % 2 === 1 ? 'echo' : 'chain', thread, `n${turn}`, { again: true });
      }
    }),
  );
  await client.settled();
  await Promise.all(delayed.map((run) => client.outcome(run)));

  const { read } = new RunStore(redis, { keys: fleet.keys });
  const now = await timeOf(redis);
  for (const { runId } of [...client.acknowledged, ...delayed]) {
    const { attempt, createdAt, startedAt = 0, endedAt = 0 } = (await read.run('default', runId)) ?? {};
    expect(attempt).toBe(1);
    const times = [began, createdAt, startedAt, endedAt, now];
    expect(times).toEqual(times.toSorted((a, b) => Number(a) - Number(b)));
  }
  for (const { runId } of delayed) {
    const { createdAt = 0, startedAt = 0 } = (await read.run('default', runId)) ?? {};
    expect(startedAt - createdAt).toBeGreaterThanOrEqual(DELAY_S * 1000);
  }
  // Both are served, though by these clocks one was last heard of two hours ago; so none is meant by default.
  for (const { url } of fleet.gateways) {
    const response = await fetch(`${url}/message`, { method: 'POST', body: '{"query":"x"}' });
    expect(response.status).toBe(404);
  }
  const [first] = client.acknowledged;
  for (const { url } of fleet.gateways) {
    const data: string[] = [];
    const stream = await fetch(`${url}/threads/${first?.thread}/runs/${first?.runId}/stream`);
    for await (const event of events(stream)) if (event.name === 'updates') data.push(event.data);
    expect(data.map((text) => Object.keys(JSON.parse(text))[0])).toEqual(['a', 'b', 'c']);
  }
  expect(client.complaints).toEqual([]);
  expect(await check(fleet, client.acknowledged, { steps })).toEqual([]);
  redis.disconnect();
});
