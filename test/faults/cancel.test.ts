import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from '../app.ts';
import type { AppProcess } from '../processes.ts';

/** Runs are stopped whose workers are killed or frozen. */

let app: TestApp;
const workers: AppProcess[] = [];
beforeAll(async () => {
  app = await startApp();
});
afterEach(async () => {
  app.ledger.release('b');
  await Promise.all(workers.splice(0).map((worker) => worker.end('SIGKILL')));
});
afterAll(() => app?.close());

async function startWorker(env: Record<string, string> = {}): Promise<AppProcess> {
  const worker = await app.startWorker(env);
  workers.push(worker);
  return worker;
}

const input = (text: string) => ({ input: { text }, ...app.configured });
const newThread = async () => (await app.sdk.threads.create()).thread_id;
const logOf = async (thread: string) =>
  (await app.sdk.threads.getState<{ log?: string[] }>(thread)).values.log;
const historyOf = (thread: string) => app.sdk.threads.getHistory(thread, { limit: 1000 });

/** Resolves when the run's worker counts as gone. */
async function givenUp(thread: string, run: string): Promise<void> {
  while ((await app.sdk.runs.get(thread, run)).status !== 'pending');
}

/** Resolves when a worker is through with its try at a run. */
async function gaveUp(worker: AppProcess, run: string): Promise<void> {
  const isThat = (line: string) => line.includes(run) && line.includes('attempt ended');
  while (!worker.log.some(isThat)) await app.sdk.assistants.search();
}

/** A thread with a past, and a run on it whose worker comes to no good in the middle of a step. */
async function stuck(fault: 'SIGKILL' | 'SIGSTOP') {
  const worker = await startWorker();
  const thread = await newThread();
  await app.sdk.runs.wait(thread, 'echo', input('past'));
  const before = await historyOf(thread);
  const calls = app.ledger.count('b');
  app.ledger.hold('b');
  const { run_id: run } = await app.sdk.runs.create(thread, 'chain', input('x'));
  await app.ledger.called('b', calls + 1);
  if (fault === 'SIGKILL') await worker.end(fault);
  else worker.signal(fault);
  await givenUp(thread, run);
  return { worker, thread, run, before };
}

describe('with no live worker', () => {
  it('a run ends all the same', async () => {
    const { thread, run } = await stuck('SIGKILL');
    await app.sdk.runs.cancel(thread, run, true);
    expect(await app.sdk.runs.get(thread, run)).toMatchObject({ status: 'interrupted' });
    expect(await app.sdk.threads.get(thread)).toMatchObject({ status: 'idle' });
    expect(await logOf(thread)).toEqual(['echo:past', 'a:x']);
  });

  it('a rollback waits for the next one', async () => {
    const { thread, run, before } = await stuck('SIGKILL');
    await app.sdk.runs.cancel(thread, run, false, 'rollback');
    expect((await app.client.end(run)).status).toBe('cancelled');
    expect(await app.sdk.threads.get(thread)).toMatchObject({ status: 'busy' });
    const next = app.sdk.runs.wait(thread, 'echo', input('next'));
    await startWorker();
    await next;
    expect(await logOf(thread)).toEqual(['echo:past', 'echo:next']);
    expect((await historyOf(thread)).slice(-before.length)).toEqual(before);
  });
});

describe('a worker that comes back', () => {
  it('writes nothing to a thread that was rolled back meanwhile', async () => {
    const { worker, thread, run, before } = await stuck('SIGSTOP');
    await startWorker();
    await app.sdk.runs.cancel(thread, run, true, 'rollback');
    expect(await historyOf(thread)).toEqual(before);
    app.ledger.release('b');
    worker.signal('SIGCONT');
    await gaveUp(worker, run);
    expect(await historyOf(thread)).toEqual(before);
    expect(app.ledger.count('c', run)).toBe(0);
  });

  it('writes nothing after a submit has stopped its run, though nobody has had a turn since', async () => {
    const { worker, thread, run } = await stuck('SIGSTOP');
    const before = await historyOf(thread);
    const later = { multitaskStrategy: 'interrupt', afterSeconds: 3600 } as const;
    await app.sdk.runs.create(thread, 'echo', { ...input('later'), ...later });
    app.ledger.release('b');
    worker.signal('SIGCONT');
    await gaveUp(worker, run);
    expect(await historyOf(thread)).toEqual(before);
    expect(app.ledger.count('c', run)).toBe(0);
  });
});

it('a rollback whose worker is killed is done by another', async () => {
  const env = { CHECKPOINTS_KEPT: '0' };
  const first = await startWorker(env);
  const thread = await newThread();
  await app.sdk.runs.wait(thread, 'echo', input('past'));
  const before = await historyOf(thread);
  const endless = { ...input('x'), config: { ...app.configured.config, recursion_limit: 1000 } };
  const { run_id: run } = await app.sdk.runs.create(thread, 'endless', endless);
  // More than one step of the rollback can remove.
  await app.ledger.called('again', 250);
  await app.sdk.runs.cancel(thread, run, false, 'rollback');
  await app.client.end(run);
  await first.end('SIGKILL');
  const next = app.sdk.runs.wait(thread, 'echo', input('next'));
  await startWorker(env);
  await next;
  expect(await logOf(thread)).toEqual(['echo:past', 'echo:next']);
  expect((await historyOf(thread)).slice(-before.length)).toEqual(before);
  const left = (await app.redis.scan()).filter((key) => key.includes(thread) && key.includes(':c:'));
  expect(left).toHaveLength((await historyOf(thread)).length);
});
