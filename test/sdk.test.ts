import { AIMessageChunk } from '@langchain/core/messages';
import type { Client } from '@langchain/langgraph-sdk';
import { StreamOrchestrator, toMessageDict } from '@langchain/langgraph-sdk/ui';
import { createLogger } from '@millrace/shared/logger';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readConfig } from '../apps/gateway/src/config.ts';
import { type Gateway, startGateway } from '../apps/gateway/src/gateway.ts';
import { workerConfig } from '../apps/worker/src/config.ts';
import { type RunningWorker, startWorker } from '../apps/worker/src/worker.ts';
import { all, clientOf, dataOf } from './sdk-client.ts';

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
