import { AIMessage, HumanMessage, ToolMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI } from '@langchain/openai';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { DemoModel } from '../model/demo-model.ts';
import { callKey } from './call-key.ts';

const openAi = (fields: ConstructorParameters<typeof ChatOpenAI>[0] = {}) =>
  new ChatOpenAI({ model: 'gpt-5-mini', apiKey: 'none', ...fields });
const said = (text: string, id?: string) => new HumanMessage({ content: text, ...(id && { id }) });
const look = (schema: z.ZodObject) => tool(() => '', { name: 'look', description: 'Looks.', schema });
const round = (id: string, result = 'found') => [
  said('Look'),
  new AIMessage({ content: '', id: `run-${id}`, tool_calls: [{ id, name: 'look', args: { id: 'x' } }] }),
  new ToolMessage({ content: result, tool_call_id: id, name: 'look' }),
];

describe('the key of a call', () => {
  const key = callKey(openAi(), [said('Hello')], {});

  it.each([
    ['another message', openAi(), [said('Hello!')], {}],
    ['one message more', openAi(), [said('Hello'), said('Hello')], {}],
    ['another kind of message', openAi(), [new AIMessage('Hello')], {}],
    ['another model', openAi({ model: 'gpt-5' }), [said('Hello')], {}],
    ['another parameter', openAi({ temperature: 0.5 }), [said('Hello')], {}],
    ['another server', openAi({ configuration: { baseURL: 'http://127.0.0.1' } }), [said('Hello')], {}],
    ['another provider', new DemoModel(), [said('Hello')], {}],
    ['another option', openAi(), [said('Hello')], { stop: ['.'] }],
  ] as const)('is another for %s', (_, model, messages, options) => {
    expect(callKey(model, [...messages], options)).not.toBe(key);
  });

  it('is the same whatever identifies a message, and whatever carries the call', () => {
    const { signal } = new AbortController();
    expect(callKey(openAi(), [said('Hello', 'an id')], { signal, promptIndex: 0, timeout: 5 })).toBe(key);
  });

  it('is another for tools with other schemas, also where the model takes them as they are', () => {
    const keys = [z.object({ at: z.string() }), z.object({ at: z.number() })].map((schema) =>
      callKey(new DemoModel(), [said('Hello')], { tools: [look(schema)] }),
    );
    expect(keys[0]).not.toBe(keys[1]);
    expect(keys[0]).toContain('"string"');
  });

  it('numbers the ids of calls, and nothing else', () => {
    const of = (...args: Parameters<typeof round>) => callKey(openAi(), round(...args), {});
    expect(of('call_1')).toBe(of('call_2'));
    expect(of('call_1', 'call_1')).not.toBe(of('call_2', 'call_2'));
    expect(of('call_1', 'lost')).not.toBe(of('call_1'));
  });
});
