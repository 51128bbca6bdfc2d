import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { startApp, type TestApp } from './app.ts';

/** What the stock client's strategies do to a thread that is busy, with real processes. */

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
  await app.startWorker();
});
afterAll(() => app?.close());
afterEach(() => app.ledger.release('b'));

type Strategy = 'enqueue' | 'reject' | 'interrupt' | 'rollback';

/** A thread with a past, a run at work in its second step, one that waits, and what then comes in with a strategy. */
async function busy() {
  const { thread_id: thread } = await app.sdk.threads.create();
  await app.sdk.runs.wait(thread, 'echo', { input: { text: 'past' }, ...app.configured });
  const before = app.ledger.count('b');
  app.ledger.hold('b');
  const create = async (graph: string, text: string, multitaskStrategy?: Strategy) =>
    app.sdk.runs.create(thread, graph, {
      input: { text },
      ...app.configured,
      ...(multitaskStrategy && { multitaskStrategy }),
    });
  const first = await create('chain', 'first');
  const second = await create('echo', 'second');
  await app.ledger.called('b', before + 1);
  return {
    thread,
    create,
    first: first.run_id,
    second: second.run_id,
    log: async () => (await app.sdk.threads.getState<{ log: string[] }>(thread)).values.log,
    listed: async () => (await app.sdk.runs.list(thread)).map(({ run_id, status }) => [run_id, status]),
  };
}

const whole = ['a:first', 'b:first', 'c:first', 'echo:second'];

it.each([undefined, 'enqueue'] as const)('%s: all are done, one after the other', async (strategy) => {
  const { thread, create, log } = await busy();
  const third = await create('echo', 'third', strategy);
  expect(third).toMatchObject({ status: 'pending', multitask_strategy: 'enqueue' });
  app.ledger.release('b');
  await app.sdk.runs.join(thread, third.run_id);
  expect(await log()).toEqual(['echo:past', ...whole, 'echo:third']);
});

it('reject: the newest is refused, and the others go on', async () => {
  const { thread, create, second, log } = await busy();
  await expect(create('echo', 'third', 'reject')).rejects.toMatchObject({ status: 422 });
  app.ledger.release('b');
  await app.sdk.runs.join(thread, second);
  expect(await log()).toEqual(['echo:past', ...whole]);
  await app.sdk.runs.join(thread, (await create('echo', 'third', 'reject')).run_id);
  expect(await log()).toEqual(['echo:past', ...whole, 'echo:third']);
});

it('interrupt: the others stop where they are, and the newest goes on from there', async () => {
  const { thread, create, first, second, log, listed } = await busy();
  const third = await create('echo', 'third', 'interrupt');
  expect(third.multitask_strategy).toBe('interrupt');
  await app.sdk.runs.join(thread, third.run_id);
  expect(await log()).toEqual(['echo:past', 'a:first', 'echo:third']);
  expect((await listed()).slice(0, 3)).toEqual([
    [third.run_id, 'success'],
    [second, 'interrupted'],
    [first, 'interrupted'],
  ]);
});

it('rollback: the others have never been, and the newest begins where they did', async () => {
  const { thread, create, first, second, log, listed } = await busy();
  const third = await create('echo', 'third', 'rollback');
  expect(third.multitask_strategy).toBe('rollback');
  await app.sdk.runs.join(thread, third.run_id);
  expect(await log()).toEqual(['echo:past', 'echo:third']);
  const [newest, past, ...rest] = await listed();
  expect([newest, past?.[1], rest]).toEqual([[third.run_id, 'success'], 'success', []]);
  for (const run of [first, second]) {
    await expect(app.sdk.runs.get(thread, run)).rejects.toMatchObject({ status: 404 });
    expect((await app.client.end(run)).status).toBe('cancelled');
  }
});

it('rollback again and again: only the last has been', async () => {
  const { thread, create, log, listed } = await busy();
  // None gets past the step that is held before all are in.
  const runs = await Promise.all(Array.from({ length: 8 }, (_, i) => create('chain', `${i}`, 'rollback')));
  app.ledger.release('b');
  const ended = await Promise.all(runs.map((run) => app.client.end(run.run_id)));
  const last = ended.findIndex((run) => run.status === 'succeeded');
  expect(ended.filter((run) => run.status === 'succeeded')).toHaveLength(1);
  const wanted = ['a', 'b', 'c'].map((step) => `${step}:${last}`);
  expect(await log()).toEqual(['echo:past', ...wanted]);
  expect((await listed()).map(([, status]) => status)).toEqual(['success', 'success']);
  expect(await app.sdk.threads.get(thread)).toMatchObject({ status: 'idle' });
});
