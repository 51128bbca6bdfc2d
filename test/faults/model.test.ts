import { setTimeout as sleep } from 'node:timers/promises';
import { createLogger } from '@millrace/shared/logger';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { workerConfig } from '../../apps/worker/src/config.ts';
import { type RunningWorker, startWorker } from '../../apps/worker/src/worker.ts';
import { StoreClient } from '../client.ts';
import { type OpenAiServer, type ScriptedStep, startOpenAiServer } from '../openai-server.ts';

/** One worker whose model does badly for some runs: each for itself, and beside the others. */

let redis: TestRedis;
let client: StoreClient;
let server: OpenAiServer;
let worker: RunningWorker | undefined;
/** When the requests came, by what the user said. */
let requests: Record<string, number[]>;

/** @param steps what the model does for a run, by what its user says; told which try it is, from 0 */
async function start(
  steps: Record<string, (tries: number) => ScriptedStep>,
  env: Record<string, string> = {},
): Promise<void> {
  requests = {};
  server = await startOpenAiServer(({ body }) => {
    const said = String(body.messages?.at(-1)?.content);
    const times = requests[said] ?? [];
    requests[said] = times;
    times.push(performance.now());
    return steps[said]?.(times.length - 1) ?? { status: 500 };
  });
  const config = workerConfig({
    ...redis.env,
    WORKER_PORT: '0',
    WORKER_CONCURRENCY: '16',
    MODEL: 'openai:test-model',
    MODEL_BASE_URL: server.baseUrl,
    MODEL_TIMEOUT: '3',
    ...env,
  });
  worker = await startWorker(config, createLogger('worker', 'silent'));
}

const says = (content: string) => ({ input: { messages: [{ role: 'user', content }] } });

beforeEach(async () => {
  redis = await testRedis();
  client = new StoreClient(redis);
});

afterEach(async () => {
  await server.close();
  await worker?.stop();
  worker = undefined;
  await client.close();
  await redis.close();
});

const WORDS = 'a b c d';

it('faults are tried again a few times, or end in a model_error that says what it was', async () => {
  const faults: [string, (tries: number) => ScriptedStep, string, number][] = [
    ['limited', () => ({ status: 429, headers: { 'retry-after': '1' } }), '(429)', 3],
    ['limited for long', () => ({ status: 429, headers: { 'retry-after': '600' } }), '(429)', 1],
    ['faulty', () => ({ status: 502 }), '(502)', 3],
    ['reset', () => ({ reset: true }), 'connection', 3],
    ['hanging', () => ({ hang: true }), 'silent', 3],
    ['broken off', () => ({ reply: WORDS, chunks: 2, ending: 'reset' }), 'connection', 1],
    ['silent in the middle', () => ({ reply: WORDS, chunks: 2, ending: 'hang' }), 'silent', 1],
    ['malformed', () => ({ reply: WORDS, chunks: 2, ending: 'malformed' }), 'could not be read', 1],
  ];
  await start(Object.fromEntries(faults.map(([name, step]) => [name, step])));
  const runs = await Promise.all(faults.map(([name]) => client.run('agent', says(name))));
  expect(runs.map(({ status, error }, i) => [faults[i]?.[0], status, error?.code, error?.message])).toEqual(
    faults.map(([name, , words]) => [name, 'failed', 'model_error', expect.stringContaining(words)]),
  );
  expect(faults.map(([name]) => [name, requests[name]?.length])).toEqual(
    faults.map(([name, , , tries]) => [name, tries]),
  );
  const gaps = requests.limited?.slice(1).map((time, i) => time - (requests.limited?.[i] ?? 0));
  // What was asked for, and some more by chance, so that not all come back at once.
  for (const gap of gaps ?? []) expect(gap).toBeGreaterThan(1_000);
});

it('a fault that passes does not show, nor does a model that is slow and not silent', async () => {
  const passing = (step: ScriptedStep) => (tries: number) => (tries === 0 ? step : { reply: 'Here.' });
  await start({
    limited: passing({ status: 429, headers: { 'retry-after': '0' } }),
    faulty: passing({ status: 503 }),
    reset: passing({ reset: true }),
    // In all longer than it may be silent.
    slow: () => ({ reply: 'on '.repeat(25), pace: () => sleep(150) }),
  });
  const names = ['limited', 'faulty', 'reset', 'slow'];
  const runs = await Promise.all(names.map((name) => client.run('agent', says(name))));
  expect(runs.map((run) => run.error ?? run.status)).toEqual(Array(4).fill('succeeded'));
  expect(runs.map((run) => run.attempt)).toEqual([1, 1, 1, 1]);
});

it('runs that wait for a model hold up no other, of whichever tenant', async () => {
  let answer = () => {};
  const answered = new Promise<void>((resolve) => {
    answer = resolve;
  });
  await start(
    {
      slow: () => ({ reply: 'At last.', pace: (chunk) => (chunk === 1 ? answered : undefined) }),
      quick: () => ({ reply: 'At once.' }),
    },
    { MODEL_TIMEOUT: '60', WORKER_CONCURRENCY: '4' },
  );
  const slow = await Promise.all(Array.from({ length: 3 }, () => client.submit('agent', says('slow'))));
  while ((requests.slow?.length ?? 0) < 3) await sleep(20);
  const others = Array.from({ length: 10 }, (_, i) =>
    client.run('agent', says('quick'), { tenant: i % 2 === 0 ? 't' : 'default' }),
  );
  expect((await Promise.all(others)).map((run) => run.answer)).toEqual(Array(10).fill('At once.'));
  const standing = await Promise.all(slow.map(({ runId }) => client.store.read.run('t', runId)));
  expect(standing.map((run) => run?.status)).toEqual(Array(3).fill('running'));
  answer();
  const ends = await Promise.all(slow.map(({ runId }) => client.end(runId)));
  expect(ends.map((run) => run.answer)).toEqual(Array(3).fill('At last.'));
});
