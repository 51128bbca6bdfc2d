import type { BaseMessage } from '@langchain/core/messages';
import {
  Annotation,
  entrypoint,
  MessagesAnnotation,
  MessagesZodState,
  messagesStateReducer,
  START,
  StateGraph,
  StateSchema,
} from '@langchain/langgraph';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { assistantIdOf } from './assistant-id.ts';
import { isExecutable } from './executable-graph.ts';
import { graphSchemas, isConversational } from './graph-schemas.ts';

/** Graphs of any state go in, as they come from users' files. */
function executable(graph: unknown) {
  if (!isExecutable(graph)) throw new Error('Not a graph.');
  return graph;
}

const messages = expect.objectContaining({ type: 'array', langgraph_type: 'messages' });

describe('graphSchemas', () => {
  it('converts zod, with the context', () => {
    const State = z.object({ topic: z.string().describe('What about'), tries: z.number().default(0) });
    const context = z.object({ tone: z.enum(['kind', 'curt']) });
    const graph = executable(
      new StateGraph(State, { context })
        .addNode('a', () => ({}))
        .addEdge(START, 'a')
        .compile(),
    );
    const schemas = graphSchemas(graph);
    expect(schemas.stateSchema).toMatchObject({
      type: 'object',
      properties: { topic: { type: 'string', description: 'What about' }, tries: { type: 'number' } },
    });
    expect(schemas.inputSchema).toMatchObject({ properties: { topic: { type: 'string' } } });
    expect(schemas.inputSchema).not.toHaveProperty('required');
    expect(schemas.contextSchema).toMatchObject({ properties: { tone: { enum: ['kind', 'curt'] } } });
    expect(schemas.configSchema).toEqual(schemas.contextSchema);
    expect(isConversational(graph)).toBe(false);
  });

  it('leaves a type open that JSON Schema cannot say', () => {
    const State = z.object({ when: z.date(), topic: z.string() });
    const graph = executable(
      new StateGraph(State)
        .addNode('a', () => ({}))
        .addEdge(START, 'a')
        .compile(),
    );
    const { inputSchema, stateSchema } = graphSchemas(graph);
    for (const schema of [inputSchema, stateSchema]) {
      expect(schema).toMatchObject({ properties: { when: {}, topic: { type: 'string' } } });
    }
    expect(inputSchema).not.toHaveProperty('required');
  });

  it.each([
    ['MessagesAnnotation', MessagesAnnotation],
    ['MessagesZodState', MessagesZodState],
    ['z.custom', z.object({ messages: z.custom<BaseMessage[]>(), topic: z.string() })],
  ])('says what messages are in %s', (_, State) => {
    const graph = executable(
      // The three kinds of state are three overloads.
      new StateGraph(State as typeof MessagesAnnotation)
        .addNode('a', () => ({}))
        .addEdge(START, 'a')
        .compile(),
    );
    const { inputSchema, outputSchema, stateSchema } = graphSchemas(graph);
    for (const schema of [inputSchema, outputSchema, stateSchema]) {
      expect(schema).toMatchObject({ type: 'object', properties: { messages } });
    }
    expect(isConversational(graph)).toBe(true);
  });

  it('lists the channels of an annotation, input and output apart', () => {
    const State = Annotation.Root({
      talk: Annotation<BaseMessage[]>({ reducer: messagesStateReducer, default: () => [] }),
      topic: Annotation<string>(),
      hidden: Annotation<string>(),
    });
    const graph = executable(
      new StateGraph({
        state: State,
        input: Annotation.Root({ topic: State.spec.topic }),
        output: Annotation.Root({ talk: State.spec.talk }),
      })
        .addNode('a', () => ({}))
        .addEdge(START, 'a')
        .compile(),
    );
    expect(graphSchemas(graph)).toMatchObject({
      inputSchema: { type: 'object', properties: { topic: {} } },
      outputSchema: { type: 'object', properties: { talk: messages } },
      stateSchema: { type: 'object', properties: { talk: messages, topic: {}, hidden: {} } },
      configSchema: null,
    });
    expect(Object.keys(Object(graphSchemas(graph).inputSchema?.properties))).toEqual(['topic']);
  });

  it('converts a StateSchema', () => {
    const State = new StateSchema({ topic: z.string(), done: z.boolean().default(false) });
    const graph = executable(
      new StateGraph(State)
        .addNode('a', () => ({}))
        .addEdge(START, 'a')
        .compile(),
    );
    expect(graphSchemas(graph).stateSchema).toEqual({
      type: 'object',
      properties: { topic: expect.objectContaining({ type: 'string' }), done: expect.any(Object) },
      required: ['topic'],
    });
  });

  it('knows nothing of an entrypoint', () => {
    const graph = executable(entrypoint('flow', async (input: number) => input + 1));
    expect(Object.values(graphSchemas(graph))).toEqual([null, null, null, null, null]);
  });
});

describe('assistantIdOf', () => {
  it('is the id that the Agent Server gives', () => {
    expect(assistantIdOf('agent')).toBe('fe096781-5601-53d2-b2f6-0d3403f7e9ca');
  });
});
