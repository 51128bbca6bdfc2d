import { describe, expect, it } from 'vitest';
import { handleTools } from './handle-tools.ts';
import { catalogEntry } from './test-gateway.ts';
import { graphTools, toRunInput } from './tools.ts';

const schemaOf = (...args: Parameters<typeof catalogEntry>) =>
  graphTools([catalogEntry(...args)])[0]?.definition.inputSchema;
const nameOf = (graph: string) => graphTools([catalogEntry(graph)])[0]?.definition.name;

describe('a graph as a tool', () => {
  it('has its name, its description and a title to read', () => {
    const [tool] = graphTools([catalogEntry('deep_research-2', { description: 'Looks things up' })]);
    expect(tool?.definition).toMatchObject({
      name: 'deep_research-2',
      title: 'Deep research 2',
      description: 'Looks things up',
    });
  });

  it('promises nothing of what an agent does; tools about runs say what they do', () => {
    const agent = { readOnlyHint: false, destructiveHint: true, idempotentHint: false, openWorldHint: true };
    const [tool] = graphTools([catalogEntry('agent')]);
    expect(tool?.definition.annotations).toEqual({ title: 'Agent', ...agent });
    expect(Object.fromEntries(handleTools.map((one) => [one.name, one.annotations]))).toEqual({
      get_run: { title: 'Get a run', readOnlyHint: true, openWorldHint: false },
      respond_run: { title: 'Answer a run', ...agent },
      cancel_run: {
        title: 'Cancel a run',
        readOnlyHint: false,
        destructiveHint: true,
        idempotentHint: true,
        openWorldHint: false,
      },
    });
  });

  it('steps aside for the tools about runs, one to one', () => {
    expect(['agent', 'get_run', 'graph_get_run', 'graph_agent'].map(nameOf)).toEqual([
      'agent',
      'graph_get_run',
      'graph_graph_get_run',
      'graph_agent',
    ]);
  });

  it('takes a message when it is a conversation, and its other fields', () => {
    const inputSchema = {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      properties: {
        messages: { type: 'array', items: { $ref: '#/$defs/Message' } },
        tone: { $ref: '#/$defs/Tone' },
      },
      required: ['messages', 'tone'],
      $defs: { Message: { type: 'object' }, Tone: { enum: ['kind', 'curt'] } },
    };
    expect(schemaOf('agent', { inputSchema })).toEqual({
      $schema: inputSchema.$schema,
      $defs: inputSchema.$defs,
      type: 'object',
      properties: {
        tone: { $ref: '#/$defs/Tone' },
        message: expect.objectContaining({ type: 'string' }),
        thread_id: expect.objectContaining({ type: 'string' }),
      },
      required: ['message', 'tone'],
      additionalProperties: false,
    });
  });

  it('leaves definitions out that only messages need', () => {
    const inputSchema = {
      type: 'object',
      properties: { messages: { $ref: '#/$defs/Messages' } },
      $defs: { Messages: { type: 'array' } },
    };
    expect(schemaOf('agent', { inputSchema })).not.toHaveProperty('$defs');
  });

  it('takes its own input when it is none, wherever the generator put it', () => {
    const inputSchema = {
      $ref: '#/definitions/Input',
      definitions: {
        Input: { type: 'object', properties: { a: { type: 'number' } }, required: ['a'] },
      },
    };
    const schema = schemaOf('sum', { conversational: false, inputSchema });
    expect(schema).toMatchObject({ type: 'object', required: ['a'], definitions: inputSchema.definitions });
    expect(Object.keys(schema?.properties ?? {})).toEqual(['a', 'thread_id']);
    expect(schema).not.toHaveProperty('$ref');
  });

  it('takes anything when the graph does not say', () => {
    expect(schemaOf('odd', { conversational: false })).toEqual({
      type: 'object',
      properties: { thread_id: expect.anything() },
    });
  });
});

describe('arguments as input', () => {
  it('makes a message of the message, and keeps the thread apart', () => {
    expect(toRunInput(catalogEntry('agent'), { message: 'Hi', tone: 'kind', thread_id: 't' })).toEqual({
      input: { messages: [{ role: 'user', content: 'Hi' }], tone: 'kind' },
      thread: 't',
    });
  });

  it('takes the rest as it is', () => {
    expect(toRunInput(catalogEntry('sum', { conversational: false }), { message: 1, b: [2] })).toEqual({
      input: { message: 1, b: [2] },
      thread: undefined,
    });
  });
});
