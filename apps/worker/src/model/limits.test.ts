import { AIMessage } from '@langchain/core/messages';
import { MemorySaver } from '@langchain/langgraph';
import { ChatOpenAI } from '@langchain/openai';
import { afterEach, describe, expect, it } from 'vitest';
import { type OpenAiScript, type OpenAiServer, startOpenAiServer } from '../../../../test/openai-server.ts';
import { makeAgent } from '../graphs/agent.ts';
import type { ModelLimits } from './limits.ts';
import { isModelFault, modelFault } from './model-fault.ts';
import { resolveModel } from './resolve-model.ts';

let server: OpenAiServer | undefined;

afterEach(async () => {
  await server?.close();
  server = undefined;
});

/** A real model on a scripted server. Waits between tries are one millisecond; timeouts are far away unless told. */
async function modelOn(script: OpenAiScript, limits: Partial<ModelLimits> = {}) {
  server = await startOpenAiServer(script);
  const model = await resolveModel({
    model: 'openai:test-model',
    baseUrl: server.baseUrl,
    hasVariable: () => false,
    limits: { retryBaseMs: 1, ...limits },
  });
  return { model, server };
}

async function collect(stream: AsyncIterable<{ text: string }>): Promise<string[]> {
  const texts: string[] = [];
  for await (const { text } of stream) if (text !== '') texts.push(text);
  return texts;
}

/** What a call rejects with; fails when it does not. */
async function errorOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => {
      throw new Error('It did not fail.');
    },
    (error: unknown) => error,
  );
}

describe('a model over HTTP', () => {
  it('streams, without a key, with the token limit', async () => {
    const { model, server } = await modelOn([{ reply: 'Hello to you' }]);
    expect(await collect(await model.stream('Hi'))).toEqual(['Hello', ' to', ' you']);
    expect(server.requests[0]?.body).toMatchObject({ model: 'test-model', stream: true, max_tokens: 4096 });
  });

  it('answers without streaming', async () => {
    const { model } = await modelOn([{ reply: 'Hello to you' }]);
    expect((await model.invoke('Hi')).text).toBe('Hello to you');
  });

  it('drives the agent: parallel tool calls, then an answer that streams', async () => {
    const { model, server } = await modelOn([
      {
        toolCalls: [
          { name: 'calculator', args: { expression: '6*7' } },
          { name: 'current_time', args: { time_zone: 'UTC' } },
        ],
      },
      { reply: 'It is 42.' },
    ]);
    const graph = makeAgent(model);
    graph.checkpointer = new MemorySaver();
    const stream = await graph.stream(
      { messages: [{ role: 'user', content: '6*7 and the time' }] },
      { configurable: { thread_id: 't' }, streamMode: ['messages'] },
    );
    const tokens: string[] = [];
    for await (const [, [message]] of stream) {
      if (AIMessage.isInstance(message) && message.text !== '') tokens.push(message.text);
    }
    expect(tokens).toEqual(['It', ' is', ' 42.']);
    expect(server.requests[0]?.body.tools?.map((tool) => tool.function.name)).toEqual([
      'calculator',
      'current_time',
      'ask_person',
    ]);
    expect(server.requests[1]?.body.messages?.map(({ role }) => role)).toEqual([
      'system',
      'user',
      'assistant',
      'tool',
      'tool',
    ]);
    expect(server.requests[1]?.body.messages?.[3]?.content).toBe('42');
  });
});

describe('retries', () => {
  it.each([
    ['a rate limit with Retry-After', { status: 429, headers: { 'retry-after-ms': '1' } }],
    ['a rate limit without', { status: 429 }],
    ['a server fault', { status: 503 }],
    ['a dropped connection', { reset: true as const }],
  ])('tries again after %s', async (_, fault) => {
    const { model, server } = await modelOn([fault, fault, { reply: 'at last' }]);
    expect((await collect(await model.stream('Hi'))).join('')).toBe('at last');
    expect(server.requests).toHaveLength(3);
  });

  it('gives up after two retries, in one layer only', async () => {
    const { model, server } = await modelOn(() => ({ status: 500, message: 'sk-secret' }));
    const error = await errorOf(model.invoke('Hi'));
    expect(modelFault(error)).toEqual({ message: 'The model provider has a fault (500).', retryable: true });
    expect(server.requests).toHaveLength(3);
  });

  it('retries through bound tools as well', async () => {
    const { model, server } = await modelOn([{ status: 500 }, { reply: 'fine' }]);
    expect((await model.bindTools?.([]).invoke('Hi'))?.text).toBe('fine');
    expect(server.requests).toHaveLength(2);
  });

  it.each([
    ['a longer wait than it has', { status: 429, headers: { 'retry-after': '3600' } }, /limiting requests/],
    ['a spent quota', { status: 429, code: 'insufficient_quota' }, /quota is used up/],
    ['a wrong key', { status: 401 }, /refuses the API key \(401\)/],
    ['an unknown model', { status: 404 }, /does not know this model/],
    ['a bad request', { status: 400 }, /refuses the request \(400\)/],
  ])('does not retry %s', async (_, step, message) => {
    const { model, server } = await modelOn(() => step);
    expect(modelFault(await errorOf(model.invoke('Hi')))?.message).toMatch(message);
    expect(server.requests).toHaveLength(1);
  });

  it('stops waiting when the caller aborts', async () => {
    const controller = new AbortController();
    const reason = new Error('cancelled');
    const { model, server } = await modelOn(() => {
      setImmediate(() => controller.abort(reason));
      return { status: 429, headers: { 'retry-after': '50' } };
    });
    const error = await errorOf(model.invoke('Hi', { signal: controller.signal }));
    expect(isModelFault(error)).toBe(false);
    expect(server.requests).toHaveLength(1);
  });
});

describe('broken answers', () => {
  it('times out a server that never answers, and lets go of the connection', async () => {
    const { model, server } = await modelOn([{ hang: true }], { silenceMs: 20, retries: 0 });
    expect(modelFault(await errorOf(model.invoke('Hi')))?.message).toBe('The model was silent for 0.02 s.');
    await server.requests[0]?.closed;
  });

  it('times out a stream that falls silent', async () => {
    const { model, server } = await modelOn(() => ({ reply: 'one two', chunks: 2, ending: 'hang' }), {
      silenceMs: 200,
    });
    const error = await errorOf(collect(await model.stream('Hi')));
    expect(modelFault(error)?.message).toBe('The model was silent for 0.2 s.');
    await server.requests[0]?.closed;
  });

  it('cuts an answer that takes too long as a whole', async () => {
    const { model } = await modelOn([{ reply: 'one two', chunks: 2, ending: 'hang' }], { totalMs: 200 });
    const error = await errorOf(collect(await model.stream('Hi')));
    expect(modelFault(error)?.message).toBe('The model took longer than 0.2 s for one answer.');
  });

  it.each([
    ['reset', 'The connection to the model was lost.'],
    ['malformed', "The model's answer could not be read."],
  ] as const)('reports a %s in mid-stream, without starting over', async (ending, message) => {
    const { model, server } = await modelOn([{ reply: 'one two three', chunks: 3, ending }]);
    const seen: string[] = [];
    const error = await errorOf(
      (async () => {
        for await (const { text } of await model.stream('Hi')) if (text !== '') seen.push(text);
      })(),
    );
    expect(seen).toEqual(['one', ' two']);
    expect(modelFault(error)?.message).toBe(message);
    expect(server.requests).toHaveLength(1);
  });

  it('reports a server that is not there', async () => {
    const { model, server } = await modelOn([]);
    await server.close();
    const error = await errorOf(model.invoke('Hi'));
    expect(modelFault(error)?.message).toBe('The model cannot be reached: connection refused.');
  });

  it('passes the caller’s abort on in mid-stream', async () => {
    const controller = new AbortController();
    const { model, server } = await modelOn([{ reply: 'one two', chunks: 2, ending: 'hang' }]);
    const error = await errorOf(
      (async () => {
        for await (const { text } of await model.stream('Hi', { signal: controller.signal })) {
          if (text !== '') controller.abort(new Error('cancelled'));
        }
      })(),
    );
    expect(isModelFault(error)).toBe(false);
    await server.requests[0]?.closed;
  });
});

describe('modelFault', () => {
  it('knows nothing of other errors', () => {
    for (const error of [
      undefined,
      'text',
      new Error('Connection refused'),
      Object.assign(new Error('x'), { code: 'ECONNREFUSED' }),
    ]) {
      expect(modelFault(error)).toBeUndefined();
    }
  });

  it('knows the errors of a model that a user’s graph made itself', async () => {
    const { server } = await modelOn([{ status: 500 }, { status: 429 }]);
    const gone = await startOpenAiServer([]);
    await gone.close();
    const messages: (string | undefined)[] = [];
    for (const { baseUrl } of [server, server, gone]) {
      const fields = { model: 'x', apiKey: 'none', maxRetries: 0, configuration: { baseURL: baseUrl } };
      messages.push(modelFault(await errorOf(new ChatOpenAI(fields).invoke('Hi')))?.message);
    }
    expect(messages).toEqual([
      'The model provider has a fault (500).',
      'The model provider is limiting requests (429).',
      'The model cannot be reached: connection refused.',
    ]);
  });

  it('looks behind an error that wraps the model’s', async () => {
    const { model } = await modelOn(() => ({ status: 401 }));
    const cause = await errorOf(model.invoke('Hi'));
    expect(isModelFault(new Error('The node failed.', { cause }))).toBe(true);
  });
});
