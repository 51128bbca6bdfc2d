import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { AppProcess } from '../processes.ts';
import { Fleet } from './fleet.ts';

/** Graphs that take their process with them, and a supervisor that starts another each time. */

/** Each starts five or six workers, one after the other. */
const PATIENCE_MS = 240_000;

let fleet: Fleet;
/** The workers that were started in place of those that ended by themselves. */
let restarts: Promise<void>[];
let leaving: boolean;

beforeEach(() => {
  restarts = [];
  leaving = false;
});

afterEach(async () => {
  leaving = true;
  await Promise.all(restarts);
  await fleet.stop();
}, PATIENCE_MS);

/** Starts a worker for each that dies, as an orchestrator does. */
function supervise(worker: AppProcess | undefined): void {
  void worker?.exited.then(() => {
    if (leaving) return;
    fleet.workers.splice(fleet.workers.indexOf(worker), 1);
    restarts.push(restart());
  });
}

async function restart(): Promise<void> {
  // One can be dead before it has said that it is ready.
  for (let worker: AppProcess | undefined; !worker && !leaving; supervise(worker)) {
    worker = await fleet.startWorker().catch(() => undefined);
  }
}

async function submit(graph: string, configurable: object): Promise<string> {
  const response = await fetch(`${fleet.gateways[0]?.url}/runs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      assistant_id: graph,
      input: { text: 'x' },
      config: { configurable: { ledger: fleet.ledger.url, ...configurable } },
    }),
  });
  expect(response.status).toBe(200);
  return ((await response.json()) as { run_id: string }).run_id;
}

async function end(runId: string): Promise<{ status: string; error?: { code: string } }> {
  for (;;) {
    const response = await fetch(`${fleet.gateways[0]?.url}/message/${runId}?wait=30`);
    const run = (await response.json()) as { status: string };
    if (run.status !== 'queued' && run.status !== 'running') return run;
  }
}

it(
  'one run that kills each worker fails for it, and twenty beside it do not',
  async () => {
    fleet = await Fleet.start({
      gateways: 1,
      workers: 1,
      env: { LEASE_SECONDS: '1', WORKER_CONCURRENCY: '24', CRASH_BUDGET: '3' },
    });
    supervise(fleet.workers[0]);
    for (const step of ['poison', 'long']) fleet.ledger.hold(step);
    const poison = await submit('poison', { death: 'exit' });
    const innocent = await Promise.all(Array.from({ length: 20 }, () => submit('long', { ms: 400 })));
    // As often as the budget allows, all of them are at work when the worker dies.
    for (let crash = 1; crash <= 3; crash++) {
      await Promise.all([fleet.ledger.called('long', 20 * crash), fleet.ledger.called('poison', crash)]);
      fleet.ledger.release('poison');
      if (crash < 3) fleet.ledger.hold('poison');
      while (restarts.length < crash) await sleep(20);
      await restarts[crash - 1];
    }
    fleet.ledger.release('long');
    const ends = await Promise.all(innocent.map(end));
    expect(ends.map((one) => one.error ?? one.status)).toEqual(Array(20).fill('succeeded'));
    expect(await end(poison)).toMatchObject({ status: 'failed', error: { code: 'crash_budget' } });
    expect(fleet.ledger.count('poison')).toBe(4);
  },
  PATIENCE_MS,
);

it(
  'it is all the same how the process is lost',
  async () => {
    fleet = await Fleet.start({
      gateways: 1,
      workers: 1,
      env: { LEASE_SECONDS: '1', CRASH_BUDGET: '1', NODE_OPTIONS: '--max-old-space-size=200' },
    });
    supervise(fleet.workers[0]);
    const fatal = await Promise.all(['kill', 'memory'].map((death) => submit('poison', { death })));
    // What the process outlives is an error like any other.
    const deep = await submit('poison', { death: 'stack' });
    for (const runId of fatal) {
      expect(await end(runId)).toMatchObject({ status: 'failed', error: { code: 'crash_budget' } });
    }
    expect(await end(deep)).toMatchObject({ status: 'failed', error: { code: 'graph_error' } });
  },
  PATIENCE_MS,
);
