import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { RedisSaver, raiseFence } from '@millrace/checkpoint-redis';
import { createLogger } from '@millrace/shared/logger';
import { PARTITIONS, partitionOfThread } from '@millrace/shared/partition';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Attempt } from '../../apps/worker/src/attempt.ts';
import { workerConfig } from '../../apps/worker/src/config.ts';
import { execute } from '../../apps/worker/src/execute.ts';
import { LeaseKeeper } from '../../apps/worker/src/lease-keeper.ts';
import { makeTestProject, type TestProject } from '../../apps/worker/src/loader/test-project.ts';
import { type RunningWorker, startWorker } from '../../apps/worker/src/worker.ts';
import { StoreClient } from '../client.ts';
import { chain } from '../graphs/graphs.ts';
import { type Ledger, startLedger } from '../ledger.ts';
import { sweepUntil } from '../sweeping.ts';

let redis: TestRedis;
let client: StoreClient;
let ledger: Ledger;
let project: TestProject | undefined;
let workers: RunningWorker[];
let stopSweeping: (() => Promise<void>) | undefined;

const graphs = fileURLToPath(new URL('../graphs/langgraph.json', import.meta.url));

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

async function leave(worker: RunningWorker): Promise<void> {
  workers.splice(workers.indexOf(worker), 1);
  await worker.stop();
}

beforeEach(async () => {
  redis = await testRedis();
  client = new StoreClient(redis);
  ledger = await startLedger();
  workers = [];
});

afterEach(async () => {
  await stopSweeping?.();
  stopSweeping = undefined;
  await ledger.close();
  await Promise.all(workers.map((worker) => worker.stop()));
  await client.close();
  await redis.close();
  await project?.remove();
  project = undefined;
});

const configured = () => ({ config: { configurable: { ledger: ledger.url } } });

it('a delivery that fails before it is claimed leaves the run to be found', async () => {
  await start();
  // Redis refuses the claim once, as it does when its memory is full or it has become a replica.
  const thread = randomUUID();
  const lease = `${redis.keys.root(partitionOfThread(thread))}:lease:t/${thread}`;
  await redis.redis.set(lease, 'not a lease');
  const { runId } = await client.submit('echo', { input: { text: 'kept' } }, { thread });
  await client.idle('default');
  await redis.redis.del(lease);
  const found: string[] = [];
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const { jobs } = await client.store.sweep(partition, { limit: 100, ringAfterMs: 0 });
    await client.doorbell.ring(jobs);
    found.push(...jobs.map((job) => job.id.slice(0, 36)));
  }
  const status = (await client.store.read.run('t', runId))?.status;
  expect(found.includes(runId) || status === 'succeeded').toBe(true);
});

it('a fork that another worker had first still starts from its checkpoint', async () => {
  project = await makeTestProject();
  await project.write('package.json', { type: 'module' });
  await project.write(
    'graphs.ts',
    `import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
     export const other = new StateGraph(Annotation.Root({ x: Annotation<string> }))
       .addNode('n', () => ({ x: 'x' })).addEdge(START, 'n').addEdge('n', END);`,
  );
  const elsewhere = await project.write('langgraph.json', {
    dependencies: ['.'],
    graphs: { other: { path: './graphs.ts:other' } },
  });
  const right = await start();
  const { thread } = await client.run('chain', { input: { text: 'x' }, ...configured() });
  let afterA = '';
  for await (const state of client.checkpoints.list(thread)) {
    if ((state.values.log as string[] | undefined)?.length === 1) afterA = state.checkpointId;
  }
  await leave(right);
  const wrong = await start({ LANGGRAPH_CONFIG: elsewhere });
  const fork = { input: null, checkpointId: afterA, ...configured() };
  const { runId } = await client.submit('chain', fork, { thread });
  // It has been there, and was handed back unharmed.
  for (;;) {
    const run = await client.store.read.run('t', runId);
    if (run?.attempt === 1 && run.status === 'queued') break;
  }
  await leave(wrong);
  stopSweeping = sweepUntil(client);
  await start();
  expect((await client.end(runId)).status).toBe('succeeded');
  expect(['a', 'b', 'c'].map((step) => ledger.count(step))).toEqual([1, 2, 2]);
});

it('a fork whose checkpoint was pruned while it waited does not lose the conversation', async () => {
  const env = { CHECKPOINTS_KEPT: '6' };
  const worker = await start(env);
  const { thread } = await client.run('chain', { input: { text: 'x' } });
  const kept: string[] = [];
  for await (const state of client.checkpoints.list(thread)) kept.push(state.checkpointId);
  await leave(worker);
  const before = await client.submit('chain', { input: { text: 'y' } }, { thread });
  // Accepted while the checkpoint is there.
  const fork = await client.submit(
    'chain',
    { input: { text: 'z' }, checkpointId: kept.at(-1) ?? '' },
    { thread },
  );
  await start(env);
  await client.end(before.runId);
  expect(await client.checkpoints.get(thread, { checkpointId: kept.at(-1) ?? '' })).toBeUndefined();
  const run = await client.end(fork.runId);
  expect(run.status).toBe('failed');
  expect(await client.values(thread)).toMatchObject({ log: ['a:x', 'b:x', 'c:x', 'a:y', 'b:y', 'c:y'] });
});

it('a run that a claim has ended is closed to its former holder at the checkpoint store too', async () => {
  stopSweeping = sweepUntil(client);
  const { runId, thread } = await client.submit('echo', { input: { text: 'z' } });
  const by = { worker: 'zombie', nonce: randomUUID(), leaseMs: 1, crashBudget: 0 };
  const claim = await client.store.claim(runId, by, { token: 0, head: '' });
  if (claim.outcome !== 'claimed') throw new Error(claim.outcome);
  const prefix = redis.keys.checkpoints();
  await raiseFence(redis.checkpoints, { prefix, namespace: 't', threadId: thread }, claim.lease);
  await start({ CRASH_BUDGET: '0' });
  expect(await client.end(runId)).toMatchObject({ status: 'failed', error: { code: 'crash_budget' } });
  const zombie = new RedisSaver(redis.checkpoints, { prefix }).withLease({
    namespace: 't',
    lease: claim.lease,
    runId,
  });
  const late = zombie.putWrites(
    { configurable: { thread_id: thread, checkpoint_ns: '', checkpoint_id: randomUUID() } },
    [['log', ['late']]],
    randomUUID(),
  );
  await expect(late).rejects.toThrow(/refused/);
});

it('steps are counted over all attempts, also when the first ones’ checkpoints are pruned', async () => {
  const env = { CHECKPOINTS_KEPT: '2', DRAIN_SECONDS: '1' };
  const first = await start(env);
  // The thread has a past, so that the run has a checkpoint it starts from.
  const { thread } = await client.run('echo', { input: { text: 'x' } });
  const { runId } = await client.submit('endless', { recursionLimit: 60, ...configured() }, { thread });
  await ledger.called('again', 20);
  ledger.hold('again');
  await leave(first);
  const before = ledger.count('again');
  expect(before).toBeLessThan(60);
  ledger.release('again');
  await start(env);
  expect(await client.end(runId)).toMatchObject({ error: { code: 'recursion_limit' } });
  // The step that the drain aborted was called again; LangGraph allows each call one more than the limit.
  expect(ledger.count('again')).toBeLessThanOrEqual(64);
});

it('leaves no key behind for a thread that is deleted', async () => {
  await start();
  const keys = async () => {
    const found: string[] = [];
    for (const key of await redis.scan()) {
      const left = await Promise.all([redis.redis.pttl(key), redis.checkpoints.pttl(key)]);
      if (left.includes(-1)) found.push(key);
    }
    return found.sort();
  };
  const thread = 'to-be-forgotten';
  await client.run('echo', { input: { text: 'x' } }, { thread, throwaway: true });
  const asked = await client.run('ask', configured(), { thread });
  await client.run('echo', { input: { text: 'supersedes' } }, { thread });
  const delayed = await client.submit('echo', {}, { thread, afterMs: 3600_000 });
  await client.store.cancel(delayed.runId);
  await client.run('echo', { kind: 'delete_thread' }, { thread });
  await client.idle('default');
  expect(asked.status).toBe('interrupted');
  expect(
    (await keys()).filter(
      (key) =>
        key.includes(thread) || key.includes(':run:') || key.includes(':chain:') || key.includes(':events:'),
    ),
  ).toEqual([]);
});

it('a worker that gets its own run a second time lets go of the first try', () => {
  const keeper = new LeaseKeeper(client.store, 60_000, createLogger('test', 'silent'));
  const attempt = () =>
    new Attempt({ runId: 'r', usedMs: 0 } as unknown as ConstructorParameters<typeof Attempt>[0]);
  const [before, now] = [attempt(), attempt()];
  keeper.add(before);
  keeper.add(now);
  keeper.close();
  expect([before.stopReason, now.stopReason]).toEqual(['lost', undefined]);
});

it('a refused beginning is the attempt’s trouble, not the end of the worker', async () => {
  const unhandled: unknown[] = [];
  const note = (error: unknown) => unhandled.push(error);
  process.on('unhandledRejection', note);
  const claim = {
    runId: 'r',
    thread: 'x',
    tenant: 't',
    attempt: 1,
    usedMs: 0,
    lease: { token: 1, nonce: 'n' },
  };
  const request = { kind: 'graph', graph: 'g', assistantId: 'g', input: {}, streamModes: [] };
  const worker = {
    store: { begin: () => Promise.reject(new Error('OOM command not allowed')), emit: async () => 'ok' },
    saver: { withLease: () => ({}) },
    limits: { runTimeoutMs: 60_000, recursionLimit: 10 },
    logger: createLogger('test', 'silent'),
  };
  // A graph that takes a turn of the event loop to be made, as a factory's does.
  const loaded = { bind: () => new Promise((resolve) => setImmediate(() => resolve({}))) };
  const attempt = new Attempt({ ...claim, request } as unknown as ConstructorParameters<typeof Attempt>[0]);
  await execute(worker as never, attempt, loaded as never, undefined).catch(() => undefined);
  process.off('unhandledRejection', note);
  expect(unhandled).toEqual([]);
});

it.each([2, 3, 4, 5])(
  'a step whose results are stored, and which itself is not, is not the end (put %i)',
  async (fatal) => {
    const { runId, thread } = await client.submit('chain', { input: { text: 'x' }, ...configured() });
    const by = { worker: 'dead', nonce: randomUUID(), leaseMs: 1, crashBudget: 3 };
    const claim = await client.store.claim(runId, by, { token: 0 });
    if (claim.outcome !== 'claimed') throw new Error(claim.outcome);
    const { lease } = claim;
    const prefix = redis.keys.checkpoints();
    await raiseFence(redis.checkpoints, { prefix, namespace: 't', threadId: thread }, lease);
    await client.store.begin(runId, lease, { base: '', head: '' });
    const saver = new RedisSaver(redis.checkpoints, { prefix }).withLease({ namespace: 't', lease, runId });
    const put = saver.put.bind(saver);
    let puts = 0;
    saver.put = (...args) => {
      puts += 1;
      return puts === fatal ? Promise.reject(new Error('the worker dies here')) : put(...args);
    };
    const graph = chain.compile({ checkpointer: saver });
    const config = { configurable: { ...configured().config.configurable, thread_id: thread } };
    await expect(graph.invoke({ text: 'x' }, { ...config, durability: 'sync' })).rejects.toThrow('dies here');
    stopSweeping = sweepUntil(client);
    await start();
    expect((await client.end(runId)).status).toBe('succeeded');
    expect(await client.values(thread)).toMatchObject({ log: ['a:x', 'b:x', 'c:x'] });
    expect(['a', 'b', 'c'].map((step) => ledger.count(step))).toEqual([1, 1, 1]);
  },
);
