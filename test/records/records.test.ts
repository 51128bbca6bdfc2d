import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Catalog } from '@millrace/shared/catalog';
import { RUN_RECORD_VERSION } from '@millrace/shared/contract/run';
import { createLogger } from '@millrace/shared/logger';
import { partitionOfRun } from '@millrace/shared/partition';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type TestGateway, testGateway } from '../../apps/gateway/src/gateway-testing.ts';
import { workerConfig } from '../../apps/worker/src/config.ts';
import { type RunningWorker, startWorker } from '../../apps/worker/src/worker.ts';
import { StoreClient } from '../client.ts';
import { sweepUntil } from '../sweeping.ts';
import { type Dump, restore } from './dump.ts';

/** What was stored by this version and the one before it. A change that could not read it fails here. */

interface Fixture {
  runs: Record<'ended' | 'asked' | 'begun' | 'nested' | 'waiting', string>;
  keys: Dump;
}

let redis: TestRedis;
let client: StoreClient;
let worker: RunningWorker | undefined;
let stopSweeping: (() => Promise<void>) | undefined;

async function start(): Promise<void> {
  worker = await startWorker(
    workerConfig({
      ...redis.env,
      LANGGRAPH_CONFIG: fileURLToPath(new URL('../graphs/langgraph.json', import.meta.url)),
      WORKER_PORT: '0',
      LEASE_SECONDS: '1',
    }),
    createLogger('worker', 'silent'),
  );
  stopSweeping = sweepUntil(client);
}

beforeEach(async () => {
  redis = await testRedis({ oneServer: true });
  client = new StoreClient(redis);
});

afterEach(async () => {
  await worker?.stop();
  await stopSweeping?.();
  worker = undefined;
  stopSweeping = undefined;
  await client.close();
  await redis.close();
});

const versions = [RUN_RECORD_VERSION - 1, RUN_RECORD_VERSION].filter((version) => version > 0);

describe.each(versions)('records of version %i', (version) => {
  let fixture: Fixture;
  beforeEach(async () => {
    const text = await readFile(new URL(`v${version}.json`, import.meta.url), 'utf8');
    fixture = JSON.parse(text) as Fixture;
    await restore(redis.redis, redis.keys.prefix, fixture.keys);
  });

  it('are read', async () => {
    const { runs } = fixture;
    expect(await client.store.read.run('t', runs.ended)).toMatchObject({
      status: 'succeeded',
      thread: 'ended',
      attempt: 1,
      request: { graph: 'chain', input: { text: 'ended' }, streamModes: ['values'] },
    });
    expect(await client.store.read.thread('t', 'ended')).toMatchObject({ status: 'idle' });
    expect(await client.store.read.thread('t', 'asked')).toMatchObject({ status: 'interrupted' });
    expect(await client.store.read.chain('t', runs.asked)).toMatchObject({
      state: 'parked',
      questions: [{ kind: 'interrupt', node: 'ask', value: { question: 'sure?' } }],
    });
    expect((await client.store.read.runsOfThread('t', 'begun', { limit: 10, offset: 0 })).length).toBe(2);
    expect((await client.stream(runs.ended)).map((event) => event.name)).toEqual([
      'metadata',
      ...Array(4).fill('values'),
      'end',
    ]);
    expect(await client.values('ended')).toMatchObject({ log: ['a:ended', 'b:ended', 'c:ended'] });
    expect((await client.checkpoints.head('begun'))?.next).toEqual(['b']);
    const graphs = await new Catalog(redis.redis, redis.keys).list();
    expect(graphs.map((one) => one.graph)).toContain('chain');
  });

  it('are gone on with', async () => {
    const { runs } = fixture;
    await start();
    const [question] = (await client.store.read.chain('t', runs.asked))?.questions ?? [];
    const answer = { [question?.id ?? '']: 'yes' };
    const resume = { [question?.interruptId ?? '']: 'yes' };
    const answered = await client.run(
      'ask',
      { input: undefined, answers: answer, resume },
      { thread: 'asked' },
    );
    const ends = await Promise.all([runs.begun, runs.nested, runs.waiting].map((id) => client.end(id)));
    expect([answered, ...ends].map((run) => run.error ?? run.status)).toEqual(Array(4).fill('succeeded'));
    expect(await client.values('asked')).toMatchObject({ log: ['ask:yes', 'after:asked'] });
    expect(await client.values('begun')).toMatchObject({
      log: ['a:begun', 'b:begun', 'c:begun', 'a:waiting', 'b:waiting', 'c:waiting'],
    });
    expect(await client.values('nested')).toMatchObject({ log: ['first:nested', 'second:nested'] });
  });
});

describe('what a later release has stored', () => {
  const keyOf = (runId: string) => redis.keys.run(redis.keys.root(partitionOfRun(runId) ?? 0), runId);

  it('is handed back, and kept as it is, until a worker comes that can read it', async () => {
    const { runId } = await client.submit('echo', { input: { text: 'x' } });
    const { runId: other, thread } = await client.submit('echo', { input: { text: 'y' } });
    await redis.redis.hset(keyOf(runId), 'version', RUN_RECORD_VERSION + 1, 'request', '{"later":true}');
    const record = await redis.redis.hgetall(keyOf(runId));
    const checkpoints = `${redis.keys.checkpoints()}:{t/${thread}}`;
    await redis.redis.hset(checkpoints, 'v', 2);
    await start();
    for (;;) {
      const run = await client.store.read.run('t', other);
      if ((run?.attempt ?? 0) > 2) break;
    }
    expect(await redis.redis.hgetall(keyOf(runId))).toEqual(record);
    expect(await redis.redis.hget(keyOf(other), 'crashes')).toBe('0');
    await redis.redis.hset(checkpoints, 'v', 1);
    expect(await client.end(other)).toMatchObject({ status: 'succeeded' });
  });

  it('is answered with 503, and what is new in it beside the old is passed over', async () => {
    const gateway: TestGateway = await testGateway();
    try {
      const { keys, redis: of, checkpoints } = gateway.test;
      const sent = await gateway.send('POST', '/threads/x/runs', {
        body: { assistant_id: 'agent', if_not_exists: 'create', input: {} },
        headers: { 'content-type': 'application/json' },
      });
      const { run_id: runId } = (await sent.json()) as { run_id: string };
      const root = keys.root(partitionOfRun(runId) ?? 0);
      const read = async (path: string) => {
        const response = await gateway.send('GET', path);
        const { detail } = (await response.json()) as { detail?: string };
        return [response.status, response.headers.get('Retry-After'), detail];
      };
      await of.hset(keys.run(root, runId), 'novelty', 'x');
      expect(await read(`/message/${runId}`)).toEqual([200, '1', undefined]);
      await of.hset(keys.run(root, runId), 'version', RUN_RECORD_VERSION + 1);
      const words = expect.stringContaining(`The run ${runId} was stored by a later release`);
      expect(await read(`/message/${runId}`)).toEqual([503, '1', words]);
      await checkpoints.hset(`${keys.checkpoints()}:{default/x}`, 'v', 2);
      const stored = expect.stringContaining('stored in the format of a later version');
      expect(await read('/threads/x/state')).toEqual([503, '1', stored]);
    } finally {
      await gateway.close();
    }
  });
});
