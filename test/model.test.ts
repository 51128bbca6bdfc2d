import { createLogger } from '@millrace/shared/logger';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { workerConfig } from '../apps/worker/src/config.ts';
import { type RunningWorker, startWorker } from '../apps/worker/src/worker.ts';
import { StoreClient } from './client.ts';
import { type OpenAiScript, type OpenAiServer, startOpenAiServer } from './openai-server.ts';
import { startProcess } from './processes.ts';

/** The built-in agent with a model behind real HTTP. */

let redis: TestRedis;
let client: StoreClient;
let server: OpenAiServer | undefined;
let worker: RunningWorker | undefined;

beforeEach(async () => {
  redis = await testRedis();
  client = new StoreClient(redis);
});

afterEach(async () => {
  await server?.close();
  await worker?.stop();
  worker = undefined;
  server = undefined;
  await client.close();
  await redis.close();
});

/** Starts a worker whose model does as the script says, and asks it something. */
async function submit(
  script: OpenAiScript,
  streamModes: ('messages-tuple' | 'updates')[] = [],
  env: Record<string, string> = {},
) {
  server = await startOpenAiServer(script);
  const config = workerConfig({
    ...redis.env,
    WORKER_PORT: '0',
    MODEL: 'openai:test-model',
    MODEL_BASE_URL: server.baseUrl,
    MODEL_TIMEOUT: '1',
    MODEL_MAX_TOKENS: '77',
    LOG_LEVEL: 'silent',
    ...env,
  });
  worker = await startWorker(config, createLogger('worker', 'silent'));
  return client.submit('agent', {
    input: { messages: [{ role: 'user', content: 'What is 6*7?' }] },
    streamModes,
  });
}

async function ask(...[script, streamModes]: Parameters<typeof submit>) {
  return client.end((await submit(script, streamModes)).runId);
}

it('drives tools and streams, with the configured model and token limit', async () => {
  const run = await ask(
    [{ toolCalls: [{ name: 'calculator', args: { expression: '6*7' } }] }, { reply: 'It is forty-two.' }],
    ['messages-tuple'],
  );
  expect(run).toMatchObject({ status: 'succeeded', answer: 'It is forty-two.' });
  expect(
    server?.requests.map(({ body }) => [body.model, body.max_tokens ?? body.max_completion_tokens]),
  ).toEqual([
    ['test-model', 77],
    ['test-model', 77],
  ]);
  expect(server?.requests[1]?.body.messages?.at(-1)).toMatchObject({ role: 'tool', content: '42' });
  const texts = (await client.stream(run.id))
    .filter((event) => event.name === 'messages')
    .map((event) => JSON.parse(event.data)[0])
    .filter((message) => message.type === 'ai' && message.content)
    .map((message) => message.content);
  expect(texts.length).toBeGreaterThan(1);
  expect(texts.join('')).toBe('It is forty-two.');
});

it('a provider’s own words, and keys in them, do not go out', async () => {
  const run = await ask([{ status: 401, message: 'key sk-secret is wrong' }]);
  expect(run).toMatchObject({ status: 'failed', error: { code: 'model_error' } });
  expect(run.error?.message).not.toContain('sk-secret');
  expect(server?.requests).toHaveLength(1);
});

it.each([
  ['before it answers', { hang: true }],
  ['while it streams', { reply: 'a b c d', chunks: 2, ending: 'hang' }],
] as const)('a run that is cancelled aborts the call of its model, %s', async (_, step) => {
  let called = () => {};
  const calling = new Promise<void>((resolve) => {
    called = resolve;
  });
  const script = () => {
    called();
    return step;
  };
  const { runId } = await submit(script, ['messages-tuple'], { MODEL_TIMEOUT: '100' });
  await calling;
  await client.store.cancel(runId);
  await server?.requests[0]?.closed;
  expect((await client.end(runId)).status).toBe('cancelled');
  expect(server?.requests).toHaveLength(1);
});

it('a model that cannot be used stops the worker from starting, and says what to do', async () => {
  const start = (env: Record<string, string>) => startProcess('worker', { ...redis.env, ...env });
  await expect(start({ MODEL: 'anthropic:claude' })).rejects.toThrow(
    /@langchain\/anthropic|ANTHROPIC_API_KEY/,
  );
  await expect(start({ MODEL: 'openai:gpt-5-mini' })).rejects.toThrow('OPENAI_API_KEY');
  await expect(start({ NODE_ENV: 'production' })).rejects.toThrow('MODEL');
});
