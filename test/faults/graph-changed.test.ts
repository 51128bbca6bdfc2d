import { fileURLToPath } from 'node:url';
import { createLogger } from '@millrace/shared/logger';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { workerConfig } from '../../apps/worker/src/config.ts';
import { type RunningWorker, startWorker } from '../../apps/worker/src/worker.ts';
import { StoreClient } from '../client.ts';
import { makeRelease, type Release } from '../graphs/release.ts';
import { type Ledger, startLedger } from '../ledger.ts';
import { sweepUntil } from '../sweeping.ts';

/** A release in which the graph is another one, while runs of the old one stand in the middle. */

let redis: TestRedis;
let client: StoreClient;
let ledger: Ledger;
let workers: RunningWorker[];
let releases: Release[];
let stopSweeping: () => Promise<void>;

const graphs = fileURLToPath(new URL('../graphs/langgraph.json', import.meta.url));

async function start(config: string = graphs, env: Record<string, string> = {}): Promise<RunningWorker> {
  const worker = await startWorker(
    workerConfig({
      ...redis.env,
      LANGGRAPH_CONFIG: config,
      WORKER_PORT: '0',
      LEASE_SECONDS: '1',
      DRAIN_SECONDS: '1',
      CRASH_BUDGET: '0',
      LOG_LEVEL: 'silent',
      ...env,
    }),
    createLogger('worker', 'silent'),
  );
  workers.push(worker);
  return worker;
}

async function leave(worker: RunningWorker): Promise<void> {
  workers.splice(workers.indexOf(worker), 1);
  await worker.stop();
}

async function release(changes?: Record<string, string>): Promise<string> {
  const made = await makeRelease(changes);
  releases.push(made);
  return made.config;
}

beforeEach(async () => {
  redis = await testRedis();
  client = new StoreClient(redis);
  ledger = await startLedger();
  workers = [];
  releases = [];
  stopSweeping = sweepUntil(client);
});

afterEach(async () => {
  await ledger.close();
  await Promise.all(workers.map((worker) => worker.stop()));
  await stopSweeping();
  await client.close();
  await redis.close();
  await Promise.all(releases.map((one) => one.remove()));
});

const order = () => ({ input: { text: 'x' }, config: { configurable: { ledger: ledger.url } } });

function answerTo({ questions }: Awaited<ReturnType<StoreClient['run']>>) {
  const [question] = questions ?? [];
  return {
    input: undefined,
    answers: { [question?.id ?? '']: 'yes' },
    resume: { [question?.interruptId ?? '']: 'yes' },
  };
}

/** Submits a run and holds it in a step. */
async function heldIn(step: string, graph: string, times = 1, thread?: string) {
  ledger.hold(step);
  const run = await client.submit(graph, order(), thread === undefined ? {} : { thread });
  await ledger.called(step, times);
  return run;
}

const renamed = {
  ".addNode('b',": ".addNode('b2',",
  "('a', 'b')": "('a', 'b2')",
  "('b', 'c')": "('b2', 'c')",
  "'work'": "'toil'",
  "'second'": "'other'",
  "'meet'": "'join'",
  "'ask'": "'question'",
};

/** What a worker leaves behind that goes in the middle: a question, and a run of each graph before its next nodes. */
async function leftInTheMiddle() {
  const old = await start();
  const asked = await client.run('ask', order());
  const runs = await Promise.all([
    heldIn('b', 'chain'),
    heldIn('work', 'fan', 2),
    heldIn('second', 'nest'),
    heldIn('longer', 'uneven'),
  ]);
  await leave(old);
  for (const step of ['b', 'work', 'second', 'longer']) ledger.release(step);
  return { asked, runs };
}

describe('a release whose graphs have other nodes', () => {
  it('fails what stands before a node that is gone, and says which', async () => {
    const { asked, runs } = await leftInTheMiddle();
    await start(await release(renamed));
    const answered = await client.submit('ask', { ...order(), ...answerTo(asked) }, { thread: asked.thread });
    const ends = await Promise.all([...runs, answered].map(({ runId }) => client.end(runId)));
    const nodes = ['"b"', '"work"', '"inside/second"', '"meet after short+longer"', '"ask"'];
    expect(ends.map(({ status, error }) => [status, error?.code, error?.message])).toEqual(
      nodes.map((node) => ['failed', 'graph_changed', expect.stringContaining(`goes on with ${node},`)]),
    );
    const head = await client.checkpoints.head(runs[0]?.thread ?? '');
    expect(ends[0]?.error?.message).toContain(`revision ${head?.metadata.revision},`);
    expect([ledger.count('c'), ledger.count('after')]).toEqual([0, 0]);
  });

  it('leaves such runs to a worker that has their nodes, for as long as there is one', async () => {
    const leaving = await start(graphs, { WORKER_CONCURRENCY: '1' });
    const stands = await heldIn('b', 'chain');
    // Has its hands full, so that the run comes to the new release first, again and again.
    await start(graphs, { WORKER_CONCURRENCY: '1' });
    const other = await heldIn('echo', 'echo');
    await leave(leaving);
    ledger.release('b');
    await start(await release(renamed));
    for (;;) {
      if (((await client.store.read.run('t', stands.runId))?.attempt ?? 0) >= 5) break;
    }
    ledger.release('echo');
    expect(await client.end(other.runId)).toMatchObject({ status: 'succeeded' });
    expect(await client.end(stands.runId)).toMatchObject({ status: 'succeeded' });
    expect(['a', 'b', 'c'].map((step) => ledger.count(step))).toEqual([1, 2, 1]);
  });

  it('lets such a thread go on with what it is told next', async () => {
    const old = await start();
    const { thread, runId } = await heldIn('b', 'chain');
    const { thread: edited } = await heldIn('longer', 'uneven');
    await leave(old);
    for (const step of ['b', 'longer']) ledger.release(step);
    const fresh = await release(renamed);
    const first = await start(fresh);
    await client.end(runId);
    const again = await heldIn('c', 'chain', 1, thread);
    await leave(first);
    ledger.release('c');
    // What the old release left is not taken for something that this run has to do.
    await start(fresh);
    expect(await client.end(again.runId)).toMatchObject({ status: 'succeeded' });
    expect(await client.values(thread)).toMatchObject({ log: ['a:x', 'a:x', 'b:x', 'c:x'] });
    const edit = { kind: 'update_state' as const, input: { log: ['by hand'] }, asNode: 'longer' };
    expect(await client.run('uneven', edit, { thread: edited })).toMatchObject({ status: 'succeeded' });
  });
});

it('a release whose graphs have the same nodes goes on with every run, and with every question', async () => {
  const { asked, runs } = await leftInTheMiddle();
  await start(await release());
  const answered = await client.submit('ask', { ...order(), ...answerTo(asked) }, { thread: asked.thread });
  const ends = await Promise.all([...runs, answered].map(({ runId }) => client.end(runId)));
  expect(ends.map(({ status, error }) => error ?? status)).toEqual(Array(5).fill('succeeded'));
  expect(['a', 'plan', 'first', 'short', 'long'].map((step) => ledger.count(step))).toEqual([1, 1, 1, 1, 1]);
});
