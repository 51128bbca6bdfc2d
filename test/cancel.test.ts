import type { ThreadState } from '@langchain/langgraph-sdk';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './app.ts';

/** The stock client stops runs of real processes. */

interface Values extends Record<string, unknown> {
  log?: string[];
  __interrupt__?: { id: string; value: unknown }[];
}

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
  await app.startWorker({ WORKER_CONCURRENCY: '60' });
});
afterAll(() => app?.close());

const held: string[] = [];
afterEach(() => {
  for (const step of held.splice(0)) app.ledger.release(step);
});

function hold(...steps: string[]): void {
  for (const step of steps) app.ledger.hold(step);
  held.push(...steps);
}

const input = (text: string) => ({ input: { text }, ...app.configured });
const newThread = async () => (await app.sdk.threads.create()).thread_id;
const create = async (thread: string, graph: string, payload: object) =>
  (await app.sdk.runs.create(thread, graph, { ...app.configured, ...payload })).run_id;
const wait = async (thread: string, graph: string, payload: object) =>
  (await app.sdk.runs.wait(thread, graph, { ...app.configured, ...payload })) as unknown as Values;
const logOf = async (thread: string) => (await app.sdk.threads.getState<Values>(thread)).values.log;
const ends = async (runId: string) =>
  (await app.client.stream(runId)).filter((event) => event.name === 'end').map((event) => event.data);

/** Submits a run and waits until one of its steps, which is held, has been called. */
async function atWork(thread: string, graph: string, step: string, payload: object): Promise<string> {
  const before = app.ledger.count(step);
  hold(step);
  const runId = await create(thread, graph, payload);
  await app.ledger.called(step, before + 1);
  return runId;
}

async function everything(thread: string): Promise<{ state: ThreadState<Values>; history: unknown[] }> {
  const [state, history] = await Promise.all([
    app.sdk.threads.getState<Values>(thread),
    app.sdk.threads.getHistory<Values>(thread, { limit: 100 }),
  ]);
  return { state, history };
}

describe('a run that is cancelled', () => {
  it('ends at once when it waits', async () => {
    const thread = await newThread();
    const first = await atWork(thread, 'chain', 'b', input('x'));
    const second = await create(thread, 'chain', input('y'));
    await app.sdk.runs.cancel(thread, second, true);
    expect(await app.sdk.runs.get(thread, second)).toMatchObject({ status: 'interrupted' });
    expect(await app.sdk.runs.get(thread, first)).toMatchObject({ status: 'running' });
    await app.sdk.runs.cancel(thread, first, true);
    expect(app.ledger.count('c')).toBe(0);
    expect(await logOf(thread)).toEqual(['a:x']);
  });

  it('stops its tools, which are given a signal', async () => {
    const thread = await newThread();
    const run = await atWork(thread, 'calls_tool', 'tool', {
      input: { messages: [{ role: 'user', content: 'wait' }] },
    });
    await app.sdk.runs.cancel(thread, run, true);
    await app.ledger.abandoned('tool');
    expect(await app.sdk.runs.get(thread, run)).toMatchObject({ status: 'interrupted' });
  });

  it('keeps nothing of a step that hears no signal, and calls none after it', async () => {
    const thread = await newThread();
    const run = await atWork(thread, 'deaf', 'deaf', input('x'));
    await app.sdk.runs.cancel(thread, run, true);
    app.ledger.release('deaf');
    await wait(thread, 'echo', input('y'));
    expect(app.ledger.count('after', run)).toBe(0);
    expect(await logOf(thread)).toEqual(['echo:y']);
  });

  it('asks no more when it is parked', async () => {
    const thread = await newThread();
    await wait(thread, 'ask', input('x'));
    const [run] = await app.sdk.runs.list(thread);
    await app.sdk.runs.cancel(thread, run?.run_id ?? '', true);
    expect(await app.sdk.threads.get(thread)).toMatchObject({ status: 'idle' });
    await expect(wait(thread, 'ask', { command: { resume: 'yes' } })).rejects.toMatchObject({ status: 409 });
    expect(app.ledger.count('ask:answered', run?.run_id)).toBe(0);
  });

  it('hears of it once, however often it is said', async () => {
    const thread = await newThread();
    const run = await atWork(thread, 'chain', 'b', input('x'));
    const actions = ['interrupt', 'rollback', 'interrupt', 'rollback'] as const;
    // An interrupt alone, were it the first, would leave a run that has ended, and nothing to roll back.
    await app.sdk.runs.cancel(thread, run, false, 'rollback');
    await Promise.all(actions.map((action) => app.sdk.runs.cancel(thread, run, true, action)));
    for (const action of actions) await app.sdk.runs.cancel(thread, run, true, action);
    expect(await ends(run)).toEqual(['{"status":"cancelled"}']);
    expect(await app.sdk.threads.get(thread)).toMatchObject({ status: 'idle' });
    expect(await logOf(thread)).toBeUndefined();
  });

  it.each(['interrupt', 'rollback'] as const)(
    'by %s while it finishes: one of the two stands',
    async (action) => {
      const threads = await Promise.all(Array.from({ length: 50 }, newThread));
      const before = app.ledger.count('b');
      hold('b');
      const runs = await Promise.all(threads.map((thread) => create(thread, 'chain', input('x'))));
      await app.ledger.called('b', before + 50);
      const cancels = runs.map((run, i) => app.sdk.runs.cancel(threads[i] ?? '', run, true, action));
      // They finish while the requests to stop them come in.
      await cancels[0];
      app.ledger.release('b');
      await Promise.all(cancels);
      await Promise.all(
        runs.map(async (run, i) => {
          const { status } = await app.client.end(run);
          expect(await ends(run)).toEqual([JSON.stringify({ status })]);
          const thread = threads[i] ?? '';
          expect(await app.sdk.threads.get(thread)).toMatchObject({ status: 'idle' });
          const log = await logOf(thread);
          const whole = ['a:x', 'b:x', 'c:x'];
          if (status !== 'cancelled') expect([status, log]).toEqual(['succeeded', whole]);
          else if (action === 'rollback') expect(log).toBeUndefined();
          else expect(log).toEqual(whole.slice(0, log?.length));
          expect((await app.sdk.runs.list(thread)).length).toBe(
            status === 'cancelled' && action === 'rollback' ? 0 : 1,
          );
        }),
      );
    },
  );

  it.each(['interrupt', 'rollback'] as const)(
    'by %s while it is answered: one of the two stands',
    async (action) => {
      const threads = await Promise.all(Array.from({ length: 50 }, newThread));
      await Promise.all(threads.map((thread) => wait(thread, 'ask', input('x'))));
      await Promise.all(
        threads.map(async (thread, i) => {
          const [asked] = await app.sdk.runs.list(thread);
          const cancel = () => app.sdk.runs.cancel(thread, asked?.run_id ?? '', true, action);
          const answer = () =>
            wait(thread, 'ask', { command: { resume: 'yes' } }).then(
              () => true,
              (error: { status?: number }) => {
                expect(error.status).toBe(409);
                return false;
              },
            );
          const [answered] =
            i % 2
              ? await Promise.all([answer(), cancel()])
              : (await Promise.all([cancel(), answer()])).slice(1);
          expect(await app.sdk.threads.get(thread)).toMatchObject({ status: 'idle' });
          if (answered) expect(await logOf(thread)).toEqual(['ask:yes', 'after:x']);
          else expect(await logOf(thread)).toEqual(action === 'rollback' ? undefined : []);
        }),
      );
    },
  );
});

describe('a run that is rolled back', () => {
  it('leaves the thread as it was, is there no more, and still says its end', async () => {
    const thread = await newThread();
    await wait(thread, 'echo', input('one'));
    const before = await everything(thread);
    const listed = await app.sdk.runs.list(thread);
    const run = await atWork(thread, 'chain', 'c', input('two'));
    expect(await logOf(thread)).toEqual(['echo:one', 'a:two', 'b:two']);
    const following = ends(run);
    await app.sdk.runs.cancel(thread, run, true, 'rollback');
    expect(await following).toEqual(['{"status":"cancelled"}']);
    expect(await everything(thread)).toEqual(before);
    expect(await app.sdk.runs.list(thread)).toEqual(listed);
    await expect(app.sdk.runs.get(thread, run)).rejects.toMatchObject({ status: 404 });
    expect(await app.sdk.threads.get(thread)).toMatchObject({ status: 'idle', values: before.state.values });
    app.ledger.release('c');
    await wait(thread, 'chain', input('three'));
    expect(await logOf(thread)).toEqual(['echo:one', 'a:three', 'b:three', 'c:three']);
  });

  it('leaves a new thread empty', async () => {
    const thread = await newThread();
    const before = await everything(thread);
    const run = await atWork(thread, 'chain', 'b', input('x'));
    await app.sdk.runs.cancel(thread, run, true, 'rollback');
    expect(await everything(thread)).toEqual(before);
  });

  it('stays when it has ended', async () => {
    const thread = await newThread();
    await wait(thread, 'echo', input('x'));
    const [run] = await app.sdk.runs.list(thread);
    await app.sdk.runs.cancel(thread, run?.run_id ?? '', true, 'rollback');
    expect(await app.sdk.runs.list(thread)).toEqual([run]);
    expect(await logOf(thread)).toEqual(['echo:x']);
  });

  it('stays, and says so, when the state it left was edited', async () => {
    const thread = await newThread();
    await wait(thread, 'ask', input('x'));
    const [asked] = await app.sdk.runs.list(thread);
    await app.sdk.threads.updateState(thread, { values: { text: 'edited' }, asNode: '__start__' });
    const rollback = app.sdk.runs.cancel(thread, asked?.run_id ?? '', true, 'rollback');
    await expect(rollback).rejects.toMatchObject({ status: 409 });
    expect(await app.sdk.threads.get(thread)).toMatchObject({ values: { text: 'edited' } });
  });

  it('was a fork: the thread goes on from where it stood', async () => {
    const thread = await newThread();
    await wait(thread, 'chain', input('x'));
    const before = await everything(thread);
    const [, , early] = before.history as { checkpoint: { checkpoint_id: string } }[];
    const run = await atWork(thread, 'chain', 'c', { input: null, checkpoint: early?.checkpoint });
    await app.sdk.runs.cancel(thread, run, true, 'rollback');
    expect(await everything(thread)).toEqual(before);
    await wait(thread, 'echo', input('y'));
    expect(await logOf(thread)).toEqual(['a:x', 'b:x', 'c:x', 'echo:y']);
  });

  it('goes with its questions when it is parked', async () => {
    const thread = await newThread();
    await wait(thread, 'echo', input('one'));
    const before = await everything(thread);
    await wait(thread, 'ask', input('two'));
    const [asked] = await app.sdk.runs.list(thread);
    await app.sdk.runs.cancel(thread, asked?.run_id ?? '', true, 'rollback');
    expect(await everything(thread)).toEqual(before);
    expect(await app.sdk.threads.get(thread)).toMatchObject({ status: 'idle', interrupts: {} });
  });

  it.each([
    ['ask', ['yes'], ['ask:no', 'after:x']],
    ['ask_twice', ['one', 'two'], ['ask:one+no']],
    ['ask_nested', ['one', 'two'], ['inner:one+no']],
  ])(
    'was an answer: its question is asked again, and the answer forgotten (%s)',
    async (graph, answers, log) => {
      const thread = await newThread();
      await wait(thread, graph, input('x'));
      for (const answer of answers.slice(0, -1)) await wait(thread, graph, { command: { resume: answer } });
      const before = await everything(thread);
      const asking = await app.sdk.threads.get(thread);
      expect(asking.status).toBe('interrupted');
      const step = graph === 'ask_nested' ? 'inner:answered' : 'ask:answered';
      const run = await atWork(thread, graph, step, { command: { resume: answers.at(-1) } });
      await app.sdk.runs.cancel(thread, run, true, 'rollback');
      expect(await everything(thread)).toEqual(before);
      expect(await app.sdk.threads.get(thread)).toMatchObject({
        status: 'interrupted',
        interrupts: asking.interrupts,
      });
      app.ledger.release(step);
      await wait(thread, graph, { command: { resume: 'no' } });
      expect(await logOf(thread)).toEqual(log);
    },
  );

  it('was one answer of two: the other stays given', async () => {
    const thread = await newThread();
    const asked = await wait(thread, 'ask_both', input('x'));
    const [left, right] = ['left?', 'right?'].map(
      (question) =>
        asked.__interrupt__?.find((one) => (one.value as { question: string }).question === question)?.id ??
        '',
    ) as [string, string];
    await wait(thread, 'ask_both', { command: { resume: { [left]: 'l' } } });
    const before = await everything(thread);
    const calls = app.ledger.count('left:answered');
    const run = await atWork(thread, 'ask_both', 'right:answered', { command: { resume: { [right]: 'r' } } });
    await app.sdk.runs.cancel(thread, run, true, 'rollback');
    expect(await everything(thread)).toEqual(before);
    app.ledger.release('right:answered');
    await wait(thread, 'ask_both', { command: { resume: { [right]: 'again' } } });
    expect(await logOf(thread)).toEqual(['left:l', 'right:again']);
    expect(app.ledger.count('left:answered')).toBe(calls);
  });

  it('had passed an approval: that is asked for again', async () => {
    const thread = await newThread();
    await wait(thread, 'approval', input('x'));
    const before = await everything(thread);
    const run = await atWork(thread, 'approval', 'pay', { input: null });
    await app.sdk.runs.cancel(thread, run, true, 'rollback');
    expect(await everything(thread)).toEqual(before);
    expect(await app.sdk.threads.get(thread)).toMatchObject({ status: 'interrupted' });
    app.ledger.release('pay');
    await wait(thread, 'approval', { input: null });
    expect(await logOf(thread)).toEqual(['prepare:x', 'pay:x']);
  });
});
