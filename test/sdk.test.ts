import { AIMessageChunk } from '@langchain/core/messages';
import { Client } from '@langchain/langgraph-sdk';
import { StreamOrchestrator, toMessageDict } from '@langchain/langgraph-sdk/ui';
import { createLogger } from '@millrace/shared/logger';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readConfig } from '../apps/gateway/src/config.ts';
import { type Gateway, startGateway } from '../apps/gateway/src/gateway.ts';
import { type AgentServer, agentServer } from '../apps/gateway/src/routes/agent-server-testing.ts';
import { workerConfig } from '../apps/worker/src/config.ts';
import { type RunningWorker, startWorker } from '../apps/worker/src/worker.ts';

interface StreamPart {
  id?: string | undefined;
  event: string;
  data: unknown;
}

/** A stock client. A key from the environment would go to whatever server the tests start. */
const clientOf = (apiUrl: string, options: { fetch?: typeof fetch } = {}) =>
  new Client({ apiUrl, apiKey: null, callerOptions: { maxRetries: 0, ...options } });

async function all(stream: AsyncIterable<unknown>): Promise<StreamPart[]> {
  const parts: StreamPart[] = [];
  for await (const part of stream) parts.push(part as StreamPart);
  return parts;
}

const dataOf = <T>(parts: StreamPart[], event: string) =>
  parts.filter((part) => part.event === event).map((part) => part.data as T);

describe('the stock LangGraph client, with a worker that the test plays', () => {
  let server: AgentServer;
  let url: string;
  let client: Client;
  beforeEach(async () => {
    server = await agentServer();
    url = await server.listen();
    client = clientOf(url);
  });
  afterEach(() => server.close());

  const value = (x: number) => ({ name: 'values', data: JSON.stringify({ x }) });
  const metadata = { name: 'metadata', data: '{"run_id":"r","attempt":1}' };

  it('makes runs, joins them, and waits for them', async () => {
    const { thread_id } = await client.threads.create({ metadata: { topic: 'tea' } });
    const run = await client.runs.create(thread_id, 'agent', { input: { x: 0 }, metadata: { m: 1 } });
    expect(run).toMatchObject({ thread_id, status: 'pending', metadata: { m: 1 } });
    const joined = client.runs.join(thread_id, run.run_id);
    await server.putState(thread_id, { id: 'c1', values: { x: 1 } });
    await server.work(run.run_id, { status: 'succeeded', checkpoint: 'c1' });
    expect(await joined).toEqual({ x: 1 });
    expect(await client.runs.list(thread_id)).toMatchObject([{ run_id: run.run_id, status: 'success' }]);
    expect(await client.threads.get(thread_id)).toMatchObject({
      values: { x: 1 },
      metadata: { topic: 'tea' },
    });

    let created: { run_id: string; thread_id?: string } | undefined;
    const failing = client.runs.wait(thread_id, 'agent', {
      input: {},
      onRunCreated: (one) => (created = one),
    });
    const [waiting] = await until(
      () => client.runs.list(thread_id, { status: 'pending' }),
      (runs) => runs.length > 0,
    );
    await server.work(waiting?.run_id ?? '', {
      status: 'failed',
      error: { code: 'graph_error', message: 'no' },
    });
    await expect(failing).rejects.toThrow('graph_error: no');
    expect(created).toEqual({ thread_id, run_id: waiting?.run_id });
  });

  it('hears at once that its run is accepted, however long it waits for the outcome', async () => {
    const response = await fetch(`${url}/runs/wait`, { method: 'POST', body: '{"assistant_id":"agent"}' });
    const runId = response.headers.get('Content-Location')?.split('/').at(-1) ?? '';
    await server.work(runId, { status: 'succeeded' });
    expect(await response.json()).toEqual({});
  });

  it('streams, and knows its run from the start', async () => {
    const { thread_id } = await client.threads.create();
    let finished: Promise<void> | undefined;
    const stream = client.runs.stream(thread_id, 'agent', {
      input: {},
      streamMode: ['values'],
      onRunCreated: ({ run_id }) => {
        finished = server.work(run_id, { status: 'succeeded' }, [metadata, value(1), value(2)]);
      },
    });
    const parts = await all(stream);
    await finished;
    expect(parts.map((part) => part.event)).toEqual(['metadata', 'values', 'values']);
    expect(dataOf(parts, 'values')).toEqual([{ x: 1 }, { x: 2 }]);
  });

  it('comes back by itself to a stream that breaks, without a gap and without a repeat', async () => {
    const { thread_id } = await client.threads.create();
    const asked: string[] = [];
    const cutting = clientOf(url, {
      fetch: async (input, init) => {
        const response = await fetch(input, init);
        const { pathname } = new URL(String(input));
        asked.push(`${init?.method ?? 'GET'} ${pathname.split('/').at(-1)}`);
        return asked.length < 3 ? cutAfter(response, 2) : response;
      },
    });
    const values = Array.from({ length: 5 }, (_, x) => value(x));
    const stream = cutting.runs.stream(thread_id, 'agent', {
      input: {},
      onRunCreated: ({ run_id }) => void server.work(run_id, { status: 'succeeded' }, [metadata, ...values]),
    });
    const parts = await all(stream);
    expect(asked).toEqual(['POST stream', 'GET stream', 'GET stream']);
    expect(parts.map((part) => part.event)).toEqual(['metadata', ...values.map(() => 'values')]);
    expect(dataOf(parts, 'values')).toEqual(values.map((_, x) => ({ x })));
  });

  it('goes on after the last event it saw', async () => {
    const { thread_id } = await client.threads.create();
    const { run_id } = await client.runs.create(thread_id, 'agent', { input: {} });
    const end = await server.begin(run_id, [metadata, value(1), value(2)]);
    const seen: StreamPart[] = [];
    for await (const part of client.runs.joinStream(thread_id, run_id, { streamMode: 'values' })) {
      seen.push(part as StreamPart);
      if (seen.length === 2) break;
    }
    await end({ status: 'succeeded' });
    const lastEventId = seen.at(-1)?.id ?? '';
    expect(dataOf(await all(client.runs.joinStream(thread_id, run_id, { lastEventId })), 'values')).toEqual([
      { x: 2 },
    ]);
    const again = await all(client.runs.joinStream(null, run_id, { lastEventId: '-1' }));
    expect(dataOf(again, 'values')).toEqual([{ x: 1 }, { x: 2 }]);
  });

  it('stops a run when it goes away, if it said so', async () => {
    const { thread_id } = await client.threads.create();
    const leaving = new AbortController();
    let runId = '';
    const stream = client.runs.stream(thread_id, 'agent', {
      input: {},
      onDisconnect: 'cancel',
      signal: leaving.signal,
      onRunCreated: ({ run_id }) => {
        runId = run_id;
        leaving.abort();
      },
    });
    await all(stream).catch(() => undefined);
    expect(await client.runs.join(thread_id, runId)).toEqual({});
    expect(await client.runs.get(thread_id, runId)).toMatchObject({ status: 'interrupted' });
  });

  it('sees state and history, and stops runs', async () => {
    const { thread_id } = await client.threads.create();
    await server.putState(thread_id, { id: 'c1', values: { x: 1 } });
    await server.putState(thread_id, {
      id: 'c2',
      parent: 'c1',
      values: { x: 2 },
      tasks: [{ id: 't', name: 'n' }],
    });
    const state = await client.threads.getState(thread_id);
    expect(state).toMatchObject({ values: { x: 2 }, next: ['n'], checkpoint: { checkpoint_id: 'c2' } });
    expect(await client.threads.getState(thread_id, 'c1')).toMatchObject({ values: { x: 1 } });
    expect(await client.threads.getState(thread_id, state.parent_checkpoint ?? '')).toMatchObject({
      values: { x: 1 },
    });
    const history = await client.threads.getHistory(thread_id);
    expect(history.map((one) => one.checkpoint.checkpoint_id)).toEqual(['c2', 'c1']);
    const { run_id } = await client.runs.create(thread_id, 'agent', { input: {} });
    await client.runs.cancel(thread_id, run_id, true);
    expect(await client.runs.get(thread_id, run_id)).toMatchObject({ status: 'interrupted' });
    await expect(client.threads.getState('nobody')).rejects.toMatchObject({ status: 404 });
    await client.threads.update(thread_id, { metadata: { done: true } });
    await client.threads.delete(thread_id);
    await expect(client.threads.get(thread_id)).rejects.toMatchObject({ status: 404 });
  });
});

describe('the stock LangGraph client, end to end', () => {
  let redis: TestRedis;
  let gateway: Gateway;
  let worker: RunningWorker;
  let client: Client;

  beforeAll(async () => {
    redis = await testRedis();
    const env = { ...redis.env, LOG_LEVEL: 'silent', MODEL: 'demo' };
    const logger = createLogger('test', 'silent');
    worker = await startWorker(workerConfig({ ...env, WORKER_PORT: '0' }), logger);
    gateway = await startGateway(readConfig({ ...env, PORT: '0' }), logger);
    client = clientOf(gateway.url);
  });
  afterAll(async () => {
    await gateway?.stop();
    await worker?.stop();
    await redis?.close();
  });

  interface Message {
    id: string;
    type: string;
    content: string;
  }
  interface Values extends Record<string, unknown> {
    messages: Message[];
    __interrupt__?: { id: string; value: unknown }[];
  }
  const say = (content: string) => ({ messages: [{ role: 'user', content }] });
  const answerOf = (values: Values | undefined) => values?.messages.at(-1)?.content ?? '';

  it('talks, streamed by token, and the second turn remembers the first', async () => {
    const { thread_id } = await client.threads.create();
    const first = await all(
      client.runs.stream(thread_id, 'agent', {
        input: say('Hello, my name is Ada.'),
        streamMode: ['messages-tuple', 'values'],
      }),
    );
    expect(first[0]).toMatchObject({ event: 'metadata', data: { attempt: 1 } });
    const answer = answerOf(dataOf<Values>(first, 'values').at(-1));
    expect(answer).toContain('Ada');
    const tokens = dataOf<[Message, object]>(first, 'messages').filter(([message]) => message.type === 'ai');
    expect(tokens.length).toBeGreaterThan(1);
    expect(tokens.map(([message]) => message.content).join('')).toBe(answer);

    const second = await all(
      client.runs.stream(thread_id, 'agent', { input: say('What is my name?'), streamMode: 'messages' }),
    );
    const complete = dataOf<Message[]>(second, 'messages/complete').flat();
    const partial = dataOf<Message[]>(second, 'messages/partial').flat();
    expect(complete.at(-1)?.content).toBe('Your name is Ada.');
    expect(partial.at(-1)).toEqual(complete.at(-1));
    expect(new Set(partial.map((one) => one.id)).size).toBe(1);
    expect(new Set(second.map((part) => part.event))).toEqual(
      new Set(['metadata', 'messages/metadata', 'messages/partial', 'messages/complete']),
    );

    const state = await client.threads.getState<Values>(thread_id);
    expect(state.values.messages.map((one) => one.type)).toEqual(['human', 'ai', 'human', 'ai']);
    expect(state.next).toEqual([]);
    const thread = await client.threads.get<Values>(thread_id);
    expect(thread).toMatchObject({ status: 'idle', values: state.values });
    const history = await client.threads.getHistory<Values>(thread_id, { limit: 50 });
    expect(history[0]).toEqual(state);
    expect(history.at(-1)?.parent_checkpoint).toBeNull();
    for (const [i, one] of history.slice(0, -1).entries()) {
      expect(one.parent_checkpoint?.checkpoint_id).toBe(history[i + 1]?.checkpoint.checkpoint_id);
    }
  });

  it('puts parts of messages together as LangChain does', async () => {
    const { thread_id } = await client.threads.create();
    const parts = await all(
      client.runs.stream(thread_id, 'agent', {
        input: say('What is 12*(3+4)? And 2^5 - 1?'),
        streamMode: ['messages', 'messages-tuple', 'values'],
      }),
    );
    const values = dataOf<Values>(parts, 'values').at(-1);
    const tuples = dataOf<[Message & Record<string, unknown>, object]>(parts, 'messages');
    for (const message of values?.messages.filter((one) => one.type === 'ai') ?? []) {
      const chunks = tuples
        .filter(([one]) => one.id === message.id)
        .map(([one]) => new AIMessageChunk(one as never));
      const [first, ...rest] = chunks;
      const whole = rest.reduce((sum, one) => sum.concat(one), first as AIMessageChunk);
      const partial = dataOf<Message[]>(parts, 'messages/partial')
        .flat()
        .filter((one) => one.id === message.id);
      const { data } = whole.toDict() as unknown as { data: Record<string, unknown> };
      expect(partial.at(-1)).toMatchObject({ content: whole.content, tool_calls: data.tool_calls });
      expect(partial.at(-1)).toMatchObject({ tool_call_chunks: data.tool_call_chunks });
    }
    expect(answerOf(values)).toContain('12*(3+4) = 84');
    const completed = dataOf<Message[]>(parts, 'messages/complete').flat();
    expect(completed.map((one) => one.id)).toEqual(values?.messages.slice(1).map((one) => one.id));
  });

  it('is asked, and answers', async () => {
    const { thread_id } = await client.threads.create();
    const asking = await all(
      client.runs.stream(thread_id, 'agent', {
        input: say('Please get an approval.'),
        streamMode: ['values', 'updates'],
      }),
    );
    const [question] = dataOf<Values>(asking, 'values').at(-1)?.__interrupt__ ?? [];
    expect(question).toMatchObject({ value: { question: expect.stringContaining('May I') } });
    const thread = await client.threads.get(thread_id);
    expect(thread.status).toBe('interrupted');
    expect(Object.values(thread.interrupts)).toEqual([[question]]);
    const state = await client.threads.getState(thread_id);
    expect(state.next).toEqual(['tools']);
    expect(state.tasks).toMatchObject([{ name: 'tools', interrupts: [question] }]);

    const answered = await client.runs.wait(thread_id, 'agent', { command: { resume: 'go ahead' } });
    expect(answerOf(answered as unknown as Values)).toBe('The person answered: go ahead');
    expect((await client.threads.get(thread_id)).status).toBe('idle');
    const late = client.runs.wait(thread_id, 'agent', {
      command: { resume: { [question?.id ?? '']: 'no' } },
    });
    await expect(late).rejects.toMatchObject({ status: 409 });
  });

  it('is asked by a run it waits for, and answers by the interrupt’s id', async () => {
    const { thread_id } = await client.threads.create();
    const asked = await client.runs.wait(thread_id, 'agent', { input: say('Ask a person for permission.') });
    const [question] = (asked as unknown as Values).__interrupt__ ?? [];
    expect(question?.id).toMatch(/^[0-9a-f]{32}$/);
    const command = { resume: { [question?.id ?? '']: 'no' } };
    const answered = await client.runs.wait(thread_id, 'agent', { command });
    expect(answerOf(answered as unknown as Values)).toBe('The person answered: no');
  });

  it('drives the engine of useStream, which sends the checkpoint it has seen', async () => {
    const errors: unknown[] = [];
    const chat = new StreamOrchestrator<Values>(
      {
        assistantId: 'agent',
        fetchStateHistory: true,
        toMessage: toMessageDict,
        onError: (error) => errors.push(error),
      },
      { getClient: () => client, getAssistantId: () => 'agent', getMessagesKey: () => 'messages' },
    );
    chat.initThreadId(undefined);
    chat.trackStreamMode('messages-tuple');
    const shown = () => (chat.messages as unknown as Message[]).map((one) => one.content);
    await chat.submitDirect(say('My name is Ada.') as never);
    await chat.submitDirect(say('What is my name? Ask a person for permission first.') as never);
    expect(shown().at(-1)).toBe('Your name is Ada.');
    await chat.submitDirect(say('Now get an approval for 6*7.') as never);
    expect(chat.interrupts).toMatchObject([{ value: { question: expect.any(String) } }]);
    await chat.submitDirect(null as never, { command: { resume: 'yes' } });
    expect(chat.interrupts).toEqual([]);
    expect(shown().at(-1)).toBe('6*7 = 42. The person answered: yes');
    expect(errors).toEqual([]);
    const state = await client.threads.getState<Values>(chat.threadId ?? '');
    expect(shown()).toEqual(state.values.messages.map((one) => one.content));
    chat.dispose();
  });

  it('stops at a breakpoint, and goes on', async () => {
    const { thread_id } = await client.threads.create();
    const parts = await all(
      client.runs.stream(thread_id, 'agent', { input: say('What is 6*7?'), interruptBefore: ['tools'] }),
    );
    expect(dataOf<Values>(parts, 'values').slice(-2)).toMatchObject([
      { messages: [{}, { type: 'ai', content: '' }] },
      { __interrupt__: [] },
    ]);
    expect(await client.threads.getState(thread_id)).toMatchObject({
      next: ['tools'],
      tasks: [{ interrupts: [] }],
    });
    expect(await client.threads.get(thread_id)).toMatchObject({ status: 'interrupted', interrupts: {} });
    const values = await client.runs.wait(thread_id, 'agent', { input: null });
    expect(answerOf(values as unknown as Values)).toBe('6*7 = 42.');
    expect(values).not.toHaveProperty('__interrupt__');
  });

  it('edits the state, and starts again from an earlier one', async () => {
    const { thread_id } = await client.threads.create();
    await client.runs.wait(thread_id, 'agent', { input: say('My name is Ada.') });
    const before = await client.threads.getState<Values>(thread_id);
    const [first] = before.values.messages;
    const edited = (await client.threads.updateState(thread_id, {
      values: { messages: [{ type: 'human', id: first?.id, content: 'My name is Grace.' }] },
      asNode: '__start__',
    })) as unknown as { checkpoint: { checkpoint_id: string } };
    const after = await client.threads.getState<Values>(thread_id);
    expect(after.checkpoint.checkpoint_id).toBe(edited.checkpoint.checkpoint_id);
    expect(after.values.messages[0]).toMatchObject({ id: first?.id, content: 'My name is Grace.' });
    expect(after.parent_checkpoint).toEqual(before.checkpoint);
    const renamed = await client.runs.wait(thread_id, 'agent', { input: say('What is my name?') });
    expect(answerOf(renamed as unknown as Values)).toBe('Your name is Grace.');
    const forked = await client.runs.wait(thread_id, 'agent', {
      input: say('What is my name?'),
      checkpoint: before.checkpoint,
    });
    expect(answerOf(forked as unknown as Values)).toBe('Your name is Ada.');
  });

  it('runs without a thread, and finds the assistant', async () => {
    const values = await client.runs.wait(null, 'agent', { input: say('What is 6*7?') });
    expect(answerOf(values as unknown as Values)).toContain('42');
    const parts = await all(
      client.runs.stream(null, 'agent', { input: say('What is 6*8?'), streamMode: 'values' }),
    );
    expect(answerOf(dataOf<Values>(parts, 'values').at(-1))).toContain('48');
    const [assistant] = await client.assistants.search({ graphId: 'agent' });
    const id = assistant?.assistant_id ?? '';
    expect(await client.assistants.get(id)).toEqual(assistant);
    expect(await client.assistants.getSchemas(id)).toMatchObject({ graph_id: 'agent' });
    const graph = await client.assistants.getGraph(id);
    expect(graph.nodes.length).toBeGreaterThan(1);
    const { run_id, thread_id } = await client.runs.create(null, id, { input: say('What is 6*9?') });
    expect(answerOf((await client.runs.join(thread_id, run_id)) as unknown as Values)).toContain('54');
  });
});

/** Lets so many events of a stream through, then breaks it as a network does. */
function cutAfter(response: Response, events: number): Response {
  let left = events;
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      while (reader) {
        const end = text.indexOf('\n\n');
        if (end >= 0 && left > 0) {
          controller.enqueue(new TextEncoder().encode(text.slice(0, end + 2)));
          text = text.slice(end + 2);
          left -= 1;
          return;
        }
        if (left === 0) {
          await reader.cancel();
          controller.error(new TypeError('terminated'));
          return;
        }
        const { done, value } = await reader.read();
        if (done) return controller.close();
        text += value;
      }
    },
  });
  return new Response(body, { status: response.status, headers: response.headers });
}

/** Asks until the answer is as wanted. */
async function until<T>(ask: () => Promise<T>, wanted: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (wanted(answer)) return answer;
  }
}
