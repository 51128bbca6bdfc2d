import { fileURLToPath } from 'node:url';
import { createLogger } from '@millrace/shared/logger';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { workerConfig } from '../apps/worker/src/config.ts';
import { type RunningWorker, startWorker } from '../apps/worker/src/worker.ts';
import { StoreClient } from './client.ts';
import { type Ledger, startLedger } from './ledger.ts';

let redis: TestRedis;
let client: StoreClient;
let ledger: Ledger;
let workers: RunningWorker[];

const graphs = fileURLToPath(new URL('graphs/langgraph.json', import.meta.url));

async function start(env: Record<string, string> = {}): Promise<RunningWorker> {
  const config = workerConfig({
    ...redis.env,
    LANGGRAPH_CONFIG: graphs,
    WORKER_PORT: '0',
    LEASE_SECONDS: '2',
    LOG_LEVEL: 'silent',
    ...env,
  });
  const worker = await startWorker(config, createLogger('worker', config.logLevel));
  workers.push(worker);
  return worker;
}

beforeEach(async () => {
  redis = await testRedis();
  client = new StoreClient(redis);
  ledger = await startLedger();
  workers = [];
});

afterEach(async () => {
  await ledger.close();
  await Promise.all(workers.map((worker) => worker.stop()));
  await client.close();
  await redis.close();
});

const configured = (more: object = {}) => ({ config: { configurable: { ledger: ledger.url, ...more } } });

describe('a worker', () => {
  it('executes a run and leaves its values, answer and events', async () => {
    await start();
    const run = await client.run('echo', { input: { text: 'hi' }, streamModes: ['values', 'updates'] });
    expect(run).toMatchObject({ status: 'succeeded', attempt: 1 });
    expect(JSON.parse(run.answer ?? '')).toEqual({ text: 'hi', log: ['echo:hi'] });
    expect(await client.values(run.thread)).toEqual({ text: 'hi', log: ['echo:hi'] });
    const events = await client.stream(run.id);
    expect(events.map((event) => event.name)).toEqual(['metadata', 'values', 'updates', 'values', 'end']);
    expect(events.map((event) => event.seq)).toEqual([1, 2, 3, 4, 5]);
    expect(JSON.parse(events[2]?.data ?? '')).toEqual({ echo: { log: ['echo:hi'] } });
  });

  it('describes every checkpoint for readers without graph code', async () => {
    await start();
    const { thread } = await client.run('chain', { input: { text: 'h' } });
    const history: [string[], unknown][] = [];
    for await (const { described, next, values } of client.checkpoints.list(thread)) {
      expect(described).toBe(true);
      history.push([next, values.log]);
    }
    expect(history).toEqual([
      [[], ['a:h', 'b:h', 'c:h']],
      [['c'], ['a:h', 'b:h']],
      [['b'], ['a:h']],
      [['a'], []],
      [['__start__'], []],
    ]);
  });

  it('keeps the caller out of what is its own', async () => {
    await start();
    const configurable = { thread_id: 'other', run_id: 'other', checkpoint_id: 'x', __pregel_resuming: true };
    const run = await client.run('echo', { input: { text: 'own' }, config: { configurable } });
    expect(run.status).toBe('succeeded');
    expect(await client.values(run.thread)).toMatchObject({ log: ['echo:own'] });
  });

  it('ends a run whose graph throws, that takes too many steps, or too long', async () => {
    await start();
    const [thrown, endless, slow] = await Promise.all([
      client.run('fails'),
      client.run('endless', { recursionLimit: 5 }),
      (async () => {
        ledger.hold('echo');
        return client.run('echo', { ...configured(), timeoutMs: 200 });
      })(),
    ]);
    expect(thrown).toMatchObject({ status: 'failed', error: { code: 'graph_error', name: 'TypeError' } });
    expect(endless).toMatchObject({ status: 'failed', error: { code: 'recursion_limit' } });
    expect(slow).toMatchObject({ status: 'failed', error: { code: 'timeout' } });
  });

  it('runs one thread in order and many side by side', async () => {
    await start();
    const threads = Array.from({ length: 5 }, (_, i) => `thread-${i}`);
    const submitted: { runId: string }[] = [];
    for (let n = 0; n < 6; n++) {
      for (const thread of threads)
        submitted.push(await client.submit('echo', { input: { text: `${n}` } }, { thread }));
    }
    for (const { runId } of submitted) expect((await client.end(runId)).status).toBe('succeeded');
    for (const thread of threads) {
      expect(await client.values(thread)).toMatchObject({ log: [0, 1, 2, 3, 4, 5].map((n) => `echo:${n}`) });
    }
  });

  it('stops a run that is cancelled in the middle of a step', async () => {
    await start();
    ledger.hold('b');
    const { runId } = await client.submit('chain', configured());
    await ledger.called('b');
    expect((await client.store.cancel(runId)).outcome).toBe('asked');
    expect((await client.end(runId)).status).toBe('cancelled');
    expect(ledger.count('c')).toBe(0);
  });

  it('deletes a thread in its turn', async () => {
    await start();
    const { thread } = await client.run('echo', { input: { text: 'gone' } });
    const removed = await client.run('echo', { kind: 'delete_thread' }, { thread });
    expect(removed.status).toBe('succeeded');
    expect(await client.checkpoints.head(thread)).toBeUndefined();
    expect(await client.store.read.thread('t', thread)).toBeUndefined();
  });

  it('edits a thread’s state in its turn', async () => {
    await start();
    const { thread } = await client.run('chain', { input: { text: 'a' } });
    const edit = await client.run(
      'chain',
      { kind: 'update_state', input: { text: 'b' }, asNode: 'a' },
      { thread },
    );
    expect(edit.status).toBe('succeeded');
    const state = await client.checkpoints.head(thread);
    expect(state).toMatchObject({ values: { text: 'b' }, next: ['b'] });
    const resumed = await client.run('chain', { input: null }, { thread });
    expect(await client.values(resumed.thread)).toMatchObject({ log: ['a:a', 'b:a', 'c:a', 'b:b', 'c:b'] });
  });

  it('starts a fork from the checkpoint it is given', async () => {
    await start();
    const { thread } = await client.run('chain', { input: { text: 'x' } });
    let afterA = '';
    for await (const state of client.checkpoints.list(thread)) {
      if ((state.values.log as string[] | undefined)?.length === 1) afterA = state.checkpointId;
    }
    await client.run('chain', { input: null, checkpointId: afterA }, { thread });
    expect(await client.values(thread)).toMatchObject({ log: ['a:x', 'b:x', 'c:x'] });
  });
});

describe('a drain', () => {
  it('hands a run back after its step, and another worker goes on with it', async () => {
    const first = await start({ DRAIN_SECONDS: '10' });
    ledger.hold('b');
    const { runId, thread } = await client.submit('chain', { input: { text: 'd' }, ...configured() });
    await ledger.called('b');
    const left = first.stop();
    workers.splice(0, 1);
    await start();
    ledger.release('b');
    await left;
    const run = await client.end(runId);
    expect(run.status).toBe('succeeded');
    expect(['a', 'b', 'c'].map((step) => ledger.count(step))).toEqual([1, 1, 1]);
    expect(await client.values(thread)).toMatchObject({ log: ['a:d', 'b:d', 'c:d'] });
  });

  it('aborts a step that outlasts it, and hands the run back unharmed', async () => {
    const first = await start({ DRAIN_SECONDS: '1' });
    ledger.hold('b');
    const { runId } = await client.submit('chain', configured());
    await ledger.called('b');
    await first.stop();
    workers.splice(0, 1);
    expect((await client.store.read.run('t', runId))?.status).toBe('queued');
    ledger.release('b');
    await start();
    expect((await client.end(runId)).status).toBe('succeeded');
    expect(['a', 'b', 'c'].map((step) => ledger.count(step))).toEqual([1, 2, 1]);
  });
});

describe('questions', () => {
  const answer = (
    run: { questions?: { id: string; interruptId?: string | undefined }[] | undefined },
    text: string,
    at = 0,
  ) => {
    const question = run.questions?.[at];
    if (!question) throw new Error('nothing was asked');
    return {
      answers: { [question.id]: text },
      ...(question.interruptId !== undefined && { resume: { [question.interruptId]: text } }),
    };
  };

  it('park the run, and the answer goes on with it', async () => {
    await start();
    const asked = await client.run('ask', configured());
    expect(asked).toMatchObject({
      status: 'interrupted',
      questions: [{ kind: 'interrupt', node: 'ask', value: { question: 'sure?' } }],
    });
    const answered = await client.run(
      'ask',
      { ...answer(asked, 'yes'), ...configured() },
      { thread: asked.thread },
    );
    expect(answered).toMatchObject({ status: 'succeeded', chain: asked.id });
    expect(await client.values(asked.thread)).toMatchObject({ log: ['ask:yes', 'after:'] });
  });

  it.each(['ask_twice', 'ask_nested'])('of one step have ids of their own (%s)', async (graph) => {
    await start();
    const first = await client.run(graph, configured());
    const second = await client.run(
      graph,
      { ...answer(first, 'one'), ...configured() },
      { thread: first.thread },
    );
    expect(second).toMatchObject({ status: 'interrupted', questions: [{ value: { question: 'second?' } }] });
    expect(second.questions?.[0]?.interruptId).toBe(first.questions?.[0]?.interruptId);
    expect(second.questions?.[0]?.id).not.toBe(first.questions?.[0]?.id);
    const late = client.submit(graph, answer(first, 'one'), { thread: first.thread });
    await expect(late).rejects.toThrow('stale');
    await client.run(graph, { ...answer(second, 'two'), ...configured() }, { thread: first.thread });
    const [log] = (await client.values(first.thread)).log as string[];
    expect(log).toMatch(/:one\+two$/);
  });

  it('of several steps can be answered one by one', async () => {
    await start();
    const asked = await client.run('ask_both', configured());
    const ids = asked.questions?.map((one) => one.id);
    expect(ids).toHaveLength(2);
    const half = await client.run(
      'ask_both',
      { ...answer(asked, 'l'), ...configured() },
      { thread: asked.thread },
    );
    expect(half).toMatchObject({ status: 'interrupted', questions: [{ id: ids?.[1] }] });
    const whole = await client.run(
      'ask_both',
      { ...answer(half, 'r'), ...configured() },
      { thread: asked.thread },
    );
    expect(whole.status).toBe('succeeded');
    expect((await client.values(asked.thread)).log).toEqual(['left:l', 'right:r']);
  });

  it('stand at a breakpoint until somebody says go on', async () => {
    await start();
    const asked = await client.run('approval', configured());
    expect(asked).toMatchObject({ status: 'interrupted', questions: [{ kind: 'breakpoint', node: 'pay' }] });
    expect(ledger.count('pay')).toBe(0);
    const paid = await client.run(
      'approval',
      { ...answer(asked, ''), ...configured() },
      { thread: asked.thread },
    );
    expect(paid.status).toBe('succeeded');
    expect(ledger.count('pay')).toBe(1);
  });
});
