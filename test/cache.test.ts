import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '@langchain/langgraph-sdk';
import { createLogger } from '@millrace/shared/logger';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { toWireJson } from '@millrace/shared/wire-json';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { workerConfig } from '../apps/worker/src/config.ts';
import { makeTestProject, type TestProject } from '../apps/worker/src/loader/test-project.ts';
import { type RunningWorker, startWorker } from '../apps/worker/src/worker.ts';
import { StoreClient } from './client.ts';
import { RedisProcess } from './faults/redis-process.ts';
import { type OpenAiServer, startOpenAiServer } from './openai-server.ts';
import { startProcess } from './processes.ts';
import { sweepUntil } from './sweeping.ts';

/** What `ENABLE_CACHE` keeps: answers of models behind real HTTP, and what nodes returned. */

let redis: TestRedis;
let client: StoreClient;
let server: OpenAiServer;
let worker: RunningWorker | undefined;

beforeEach(async () => {
  redis = await testRedis();
  client = new StoreClient(redis);
  let answers = 0;
  // Calls a tool for whoever asks for a product, and never says the same twice.
  server = await startOpenAiServer(({ body }) => {
    answers += 1;
    const last = body.messages?.at(-1);
    return last?.role === 'user' && String(last.content).includes('*')
      ? { toolCalls: [{ name: 'calculator', args: { expression: String(last.content) } }] }
      : { reply: `This is answer ${answers}` };
  });
});

afterEach(async () => {
  await worker?.stop();
  worker = undefined;
  await server.close();
  await client.close();
  await redis.close();
});

async function start(env: Record<string, string> = {}): Promise<void> {
  const config = workerConfig({
    ...redis.env,
    WORKER_PORT: '0',
    MODEL: 'openai:test-model',
    MODEL_BASE_URL: server.baseUrl,
    LOG_LEVEL: 'silent',
    ENABLE_CACHE: '1',
    ...env,
  });
  worker = await startWorker(config, createLogger('worker', 'silent'));
}

const says = (content: string) => ({ input: { messages: [{ role: 'user', content }] } });
const ask = (content: string, tenant = 't') => client.run('agent', says(content), { tenant });

const cached = async () => (await redis.scan()).filter((key) => key.includes(':cache:'));

/** Look-ups by how they came out. */
async function lookUps(cache: string): Promise<Record<string, number>> {
  const metrics = await (await fetch(`${worker?.url}/metrics`)).text();
  const lines = metrics.matchAll(/^millrace_cache_requests_total\{cache="(\w+)",result="(\w+)"\} (\d+)$/gm);
  return Object.fromEntries(
    [...lines].filter(([, kind]) => kind === cache).map(([, , result, count]) => [result, Number(count)]),
  );
}

interface Message {
  id: string;
  type: string;
  content: string;
  tool_calls?: { id: string }[];
}

async function messages(thread: string): Promise<Message[]> {
  return JSON.parse(toWireJson((await client.values(thread)).messages)) as Message[];
}

describe('answers of models', () => {
  it('are asked for once, and counted as what they are', async () => {
    await start();
    const first = await ask('Hello');
    const second = await ask('Hello');
    expect([first.answer, second.answer]).toEqual(['This is answer 1', 'This is answer 1']);
    expect(server.requests).toHaveLength(1);
    expect(await lookUps('model')).toEqual({ miss: 1, hit: 1 });
    const metrics = await (await fetch(`${worker?.url}/metrics`)).text();
    expect(metrics).toContain('millrace_model_calls_total{model="test-model",status="ok"} 1\n');
    expect(metrics).toContain('millrace_model_tokens_total{model="test-model",type="input"} 7\n');
  });

  it('have ids of their own, and so have their calls of tools, which are made', async () => {
    await start();
    const first = await messages((await ask('6*7')).thread);
    const second = await messages((await ask('6*7')).thread);
    const contents = (all: Message[]) => all.map(({ type, content }) => [type, content]);
    expect(contents(second)).toEqual(contents(first));
    expect(contents(second)).toContainEqual(['tool', '42']);
    // The second round's messages differ in the ids of calls alone.
    expect(server.requests).toHaveLength(2);
    const ids = [...first, ...second].map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const calls = [...first, ...second].flatMap((one) => one.tool_calls ?? []).map(({ id }) => id);
    expect(new Set(calls).size).toBe(2);
    expect(calls[1]).toMatch(/^call_\w{24}$/);
  });

  it('are each tenant’s own', async () => {
    await start();
    await ask('Hello');
    const other = await ask('Hello', 'default');
    expect(other.answer).toBe('This is answer 2');
    expect((await cached()).map((key) => key.split(':cache:')[1]?.split(':')[1]).sort()).toEqual([
      'default',
      't',
    ]);
  });

  it('are gone when their time is over', async () => {
    await start({ CACHE_TTL: '100' });
    await ask('Hello');
    const [key = ''] = await cached();
    const left = await redis.redis.pttl(key);
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(100_000);
    await redis.redis.expire(key, 0);
    expect((await ask('Hello')).answer).toBe('This is answer 2');
  });

  it('are not kept unless that is asked for', async () => {
    await start({ ENABLE_CACHE: '0' });
    await ask('Hello');
    expect((await ask('Hello')).answer).toBe('This is answer 2');
    expect(await cached()).toEqual([]);
  });

  it('are streamed, to the stock client too', async () => {
    await start();
    const gateway = await startProcess('gateway', redis.env);
    try {
      const sdk = new Client({ apiUrl: gateway.url, apiKey: null });
      const stream = async (content: string) => {
        const thread = await sdk.threads.create();
        const chunks: Message[] = [];
        for await (const { event, data } of sdk.runs.stream(thread.thread_id, 'agent', {
          ...says(content),
          streamMode: 'messages-tuple',
        })) {
          if (event === 'messages') chunks.push(data[0] as Message);
        }
        const { values } = await sdk.threads.getState<{ messages: Message[] }>(thread.thread_id);
        return { said: chunks.filter(({ type }) => type !== 'tool' && type !== 'human'), values };
      };
      await stream('2*3');
      const { said, values } = await stream('2*3');
      expect(server.requests).toHaveLength(2);
      expect(said.map(({ content }) => content).join('')).toBe('This is answer 2');
      expect(said.flatMap((one) => one.tool_calls ?? [])).toMatchObject([
        { name: 'calculator', args: { expression: '2*3' } },
      ]);
      const stored = values.messages.filter(({ type }) => type === 'ai').map(({ id }) => id);
      expect([...new Set(said.map(({ id }) => id))]).toEqual(stored);
    } finally {
      await gateway.end('SIGTERM');
    }
  });
});

describe('a cache in a Redis of its own', () => {
  it('may evict', async () => {
    const own = await RedisProcess.start(['maxmemory-policy allkeys-lru']);
    try {
      await start({ CACHE_REDIS_URL: own.url });
      await ask('Hello');
      expect((await ask('Hello')).answer).toBe('This is answer 1');
      expect(await cached()).toEqual([]);
    } finally {
      await own.remove();
    }
  });

  it.each([
    ['killed', (own: RedisProcess) => own.kill(), (own: RedisProcess) => own.up()],
    ['hanging', (own: RedisProcess) => own.pause(), (own: RedisProcess) => own.resume()],
  ])('may be %s: runs go on without it, and with it again', async (_, breaks, mends) => {
    const own = await RedisProcess.start();
    try {
      await start({ CACHE_REDIS_URL: own.url });
      await ask('Hello');
      await breaks(own);
      expect(await ask('Hello')).toMatchObject({ status: 'succeeded', answer: 'This is answer 2' });
      expect(await lookUps('model')).toMatchObject({ error: 1 });
      await mends(own);
      const answer = async () => (await ask('Again')).answer;
      for (let before = await answer(); ; ) {
        const now = await answer();
        if (now === before) break;
        before = now;
      }
    } finally {
      await own.remove();
    }
  });

  it('keeps nobody from starting while it is out of reach', async () => {
    const own = await RedisProcess.start();
    await own.kill();
    try {
      await start({ CACHE_REDIS_URL: own.url });
      expect((await ask('Hello')).status).toBe('succeeded');
    } finally {
      await own.remove();
    }
  });
});

describe('a project’s own graph', () => {
  let project: TestProject;

  beforeEach(async () => {
    project = await makeTestProject();
    await project.write('package.json', {});
  });

  afterEach(() => project.remove());

  async function serve(source: string, ending = 'mjs'): Promise<void> {
    await worker?.stop();
    const file = `src/${source.length}.${ending}`;
    await project.write(file, source);
    await start({
      LANGGRAPH_CONFIG: await project.write('langgraph.json', { graphs: { mine: `./${file}:graph` } }),
    });
  }

  /** Each call of either model that is really made gives its next response. */
  const models = `
    import { FakeListChatModel } from '@langchain/core/utils/testing';
    import { END, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
    const responses = ['one', 'two', 'three'];
    const kept = new FakeListChatModel({ responses, cache: true });
    const asked = new FakeListChatModel({ responses });
    const answer = (model) => async ({ messages }) => ({ messages: [await model.invoke(messages)] });
    export const graph = new StateGraph(MessagesAnnotation)
      .addNode('kept', answer(kept)).addNode('asked', answer(asked))
      .addEdge(START, 'kept').addEdge('kept', 'asked').addEdge('asked', END).compile();
  `;
  const run = async () => {
    const { thread } = await client.run('mine', says('Hello'));
    return (await messages(thread)).slice(1).map(({ content }) => content);
  };

  const commonJs = models
    .replaceAll(/import (\{.*\}) from ('.*');/g, 'const $1 = require($2);')
    .replace('export const graph', 'exports.graph');

  it.each([
    ['ES modules', models, 'mjs'],
    ['CommonJS', commonJs, 'cjs'],
  ])(
    'has the answers of those models kept that are made with `cache: true`: %s',
    async (_, source, ending) => {
      await serve(source, ending);
      expect(await run()).toEqual(['one', 'one']);
      expect(await run()).toEqual(['one', 'two']);
      // LangChain's own cache would have answered as well.
      expect(await lookUps('model')).toEqual({ miss: 1, hit: 1 });
    },
  );

  it('has none of another revision', async () => {
    await serve(`${models}// of old`);
    await run();
    await serve(models);
    await run();
    expect(await lookUps('model')).toEqual({ miss: 1 });
  });

  it('goes on with the kept answer, as another message, when its worker died before the step was stored', async () => {
    const asked = join(project.directory, 'asked');
    await project.write(
      'src/agent.mjs',
      `
        import { existsSync, writeFileSync } from 'node:fs';
        import { FakeListChatModel } from '@langchain/core/utils/testing';
        import { END, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
        const model = new FakeListChatModel({ responses: ['one'], cache: true });
        const ask = async ({ messages }) => {
          const answer = await model.invoke(messages);
          if (!existsSync('${asked}')) {
            writeFileSync('${asked}', '');
            await new Promise(() => undefined);
          }
          return { messages: [answer] };
        };
        export const graph = new StateGraph(MessagesAnnotation)
          .addNode('ask', ask).addEdge(START, 'ask').addEdge('ask', END).compile();
      `,
    );
    const config = await project.write('langgraph.json', { graphs: { mine: './src/agent.mjs:graph' } });
    const begin = () =>
      startProcess('worker', {
        ...redis.env,
        LANGGRAPH_CONFIG: config,
        LEASE_SECONDS: '1',
        ENABLE_CACHE: '1',
      });
    const doomed = await begin();
    const { runId, thread } = await client.submit('mine', {
      ...says('Hello'),
      streamModes: ['messages-tuple'],
    });
    while (!existsSync(asked) || (await cached()).length === 0);
    await doomed.end('SIGKILL');
    const heir = await begin();
    const stopSweeping = sweepUntil(client);
    expect((await client.end(runId)).status).toBe('succeeded');
    await stopSweeping();
    const metrics = await (await fetch(`${heir.url}/metrics`)).text();
    expect(metrics).toContain('millrace_cache_requests_total{cache="model",result="hit"} 1\n');
    await heir.end('SIGTERM');
    const [, said, ...more] = await messages(thread);
    expect([said?.content, more]).toEqual(['one', []]);
    const events = await client.stream(runId);
    const [, { discard }] = events
      .filter(({ name }) => name === 'metadata')
      .map(({ data }) => JSON.parse(data));
    expect(discard).toHaveLength(1);
    expect(discard).not.toContain(said?.id);
  });

  it('has nodes with a `cachePolicy` executed once, within sub-graphs too', async () => {
    await serve(`
      import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
      import { InMemoryCache } from '@langchain/langgraph-checkpoint';
      const State = Annotation.Root({ topic: Annotation(), outer: Annotation(), inner: Annotation() });
      let calls = 0;
      const cachePolicy = { keyFunc: ([{ topic }]) => topic, ttl: 60 };
      const inner = new StateGraph(State)
        .addNode('count', () => ({ inner: ++calls }), { cachePolicy })
        .addEdge(START, 'count').addEdge('count', END).compile();
      export const graph = new StateGraph(State)
        .addNode('count', () => ({ outer: ++calls }), { cachePolicy })
        .addNode('inside', inner)
        .addEdge(START, 'count').addEdge('count', 'inside').addEdge('inside', END)
        .compile({ cache: new InMemoryCache() });
    `);
    const count = async (topic: string, tenant = 't') => {
      const { thread } = await client.run('mine', { input: { topic } }, { tenant });
      const { outer, inner } = await client.valuesOf(tenant, thread);
      return [outer, inner];
    };
    expect(await count('a')).toEqual([1, 2]);
    expect(await count('a')).toEqual([1, 2]);
    expect(await count('b')).toEqual([3, 4]);
    expect(await count('a', 'default')).toEqual([5, 6]);
    expect(await lookUps('node')).toEqual({ miss: 6, hit: 2 });
    const lifetimes = await Promise.all((await cached()).map((key) => redis.redis.pttl(key)));
    expect(Math.max(...lifetimes)).toBeLessThanOrEqual(60_000);
    expect(Math.min(...lifetimes)).toBeGreaterThan(0);
  });
});
