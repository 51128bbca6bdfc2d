import { toJsonSchema } from '@langchain/core/utils/json_schema';
import {
  getConfigTypeSchema,
  getInputTypeSchema,
  getOutputTypeSchema,
  getStateTypeSchema,
} from '@langchain/langgraph/zod/schema';
import type { JsonObject } from '@millrace/shared/contract/json';
import type { ExecutableGraph } from './executable-graph.ts';

/** JSON Schemas of a graph; null where the graph does not say. */
export interface GraphSchemas {
  inputSchema: JsonObject | null;
  outputSchema: JsonObject | null;
  stateSchema: JsonObject | null;
  configSchema: JsonObject | null;
  contextSchema: JsonObject | null;
}

/** The parts of a `StateGraph` builder that say what its state is; private names of LangGraph, the same since 1.0. */
interface Builder {
  _schemaRuntimeDefinition?: unknown;
  _inputRuntimeDefinition?: unknown;
  _outputRuntimeDefinition?: unknown;
  _schemaDefinition?: object;
  _inputDefinition?: object;
  _outputDefinition?: object;
  _configRuntimeSchema?: unknown;
}

/** The registry in which a copy of LangGraph keeps reducers and JSON Schema extras of zod schemas. */
type Registry = Parameters<typeof getStateTypeSchema>[1];

/** The shape of one message, as every LangGraph client sends it. */
const MESSAGE: JsonObject = {
  type: 'object',
  properties: {
    role: { type: 'string', description: 'user, assistant, system or tool' },
    content: { anyOf: [{ type: 'string' }, { type: 'array', items: {} }] },
    id: { type: 'string' },
  },
  required: ['content'],
};

/**
 * What a graph's state looks like, as JSON Schemas. Zod and `StateSchema` definitions are converted; an `Annotation`
 * has no types at run time, so its channels are listed by name, a message channel as an array of messages and the rest
 * open. A graph of the functional API (`entrypoint`) says nothing: all null.
 */
export function graphSchemas(graph: ExecutableGraph): GraphSchemas {
  const builder = (graph as { builder?: Builder }).builder;
  if (builder === undefined) {
    return {
      inputSchema: null,
      outputSchema: null,
      stateSchema: null,
      configSchema: null,
      contextSchema: null,
    };
  }
  // The registry of the graph's own copy of LangGraph: ours knows nothing of its schemas.
  const registry = (graph as { _metaRegistry?: Registry })._metaRegistry;
  const state = builder._schemaRuntimeDefinition;
  const channels = builder._schemaDefinition;
  // Without an input definition of its own, the input is any part of the state; LangGraph marks that by a symbol.
  const input = typeof builder._inputRuntimeDefinition === 'object' ? builder._inputRuntimeDefinition : state;
  const read = (get: typeof getStateTypeSchema, definition: unknown, names: object | undefined) =>
    withMessages(graph, converted(() => get(graph, registry), definition) ?? listed(names));
  // In JavaScript one schema describes both: `context` is what used to be `configurable`.
  const context = converted(() => getConfigTypeSchema(graph, registry), builder._configRuntimeSchema) ?? null;
  return {
    inputSchema: optional(read(getInputTypeSchema, input, builder._inputDefinition ?? channels)),
    outputSchema: read(
      getOutputTypeSchema,
      builder._outputRuntimeDefinition ?? state,
      builder._outputDefinition ?? channels,
    ),
    stateSchema: read(getStateTypeSchema, state, channels),
    configSchema: context,
    contextSchema: context,
  };
}

/** Whether the graph's state is a conversation: has a channel `messages`. */
export function isConversational(graph: ExecutableGraph): boolean {
  return Object.hasOwn(graph.channels as object, 'messages');
}

/** A schema through LangGraph; where zod cannot write one of its types as JSON Schema, that type is left open. */
function converted(get: () => unknown, definition: unknown): JsonObject | undefined {
  try {
    return asJson(get());
  } catch {
    try {
      return asJson(toJsonSchema(definition as never, { unrepresentable: 'any' } as never));
    } catch {
      return undefined;
    }
  }
}

/** No channel must be in an input: LangGraph takes any part of the state. */
function optional(schema: JsonObject | null): JsonObject | null {
  if (schema === null) return null;
  const { required: _, ...rest } = schema;
  return rest;
}

function listed(channels: object | undefined): JsonObject | undefined {
  if (channels === undefined) return undefined;
  return { type: 'object', properties: Object.fromEntries(Object.keys(channels).map((key) => [key, {}])) };
}

/** Fills in what messages look like, which is a custom type to every schema library. */
function withMessages(graph: ExecutableGraph, schema: JsonObject | undefined): JsonObject | null {
  if (schema === undefined) return null;
  const properties = schema.properties;
  if (typeof properties !== 'object' || properties === null || Array.isArray(properties)) return schema;
  const filled = Object.entries(properties).map(([key, property]) => {
    const known =
      typeof property === 'object' && property !== null && !Array.isArray(property) ? property : {};
    if (!isMessages(graph, key, known)) return [key, property];
    return [
      key,
      {
        langgraph_type: 'messages',
        description: 'A list of chat messages',
        ...known,
        type: 'array',
        items: MESSAGE,
      },
    ];
  });
  return { ...schema, properties: Object.fromEntries(filled) as JsonObject };
}

function isMessages(graph: ExecutableGraph, key: string, property: JsonObject): boolean {
  if (property.langgraph_type === 'messages') return true;
  if ('type' in property || '$ref' in property || 'anyOf' in property) return false;
  const channel = (graph.channels as Record<string, { operator?: { name?: string } } | undefined>)[key];
  return key === 'messages' || channel?.operator?.name === 'messagesStateReducer';
}

/** As JSON sees it: without `undefined`, functions and shared references. */
function asJson(schema: unknown): JsonObject | undefined {
  if (typeof schema !== 'object' || schema === null) return undefined;
  return JSON.parse(JSON.stringify(schema)) as JsonObject;
}
