import type { CatalogEntry } from '@millrace/shared/contract/catalog';
import type { Json, JsonObject } from '@millrace/shared/contract/json';
import type { Tool, ToolAnnotations } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { runOutput } from './run-result.ts';

/** Tools that are about runs, whatever their graph. A graph of such a name is the tool `graph_<name>`. */
export const handleToolNames = ['get_run', 'respond_run', 'cancel_run'] as const;

/** A graph as a tool. */
export interface GraphTool {
  definition: Tool;
  graph: CatalogEntry;
}

/** The graphs as tools, in the catalog's order: two gateways with the same catalog list the same. */
export function graphTools(catalog: CatalogEntry[]): GraphTool[] {
  return catalog.map((graph) => ({ graph, definition: toTool(graph) }));
}

/** The schema without the dialect, which clients assume; older ones know no other. */
export function jsonSchemaOf(schema: z.ZodType): Tool['inputSchema'] {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input' });
  // zod's type of a schema knows more than JSON; what it makes is nothing else.
  return { ...rest, type: 'object' } as Tool['inputSchema'];
}

/** An object, as MCP wants it: graphs do not differ in what a run returns, only in what is in it. */
export const outputSchema = jsonSchemaOf(runOutput);

/**
 * The arguments of a graph's tool as input of its run. `thread_id` is always the thread: a graph cannot be given
 * an input field of that name here.
 */
export function toRunInput(
  graph: CatalogEntry,
  args: JsonObject,
): { input: JsonObject; thread: string | undefined } {
  const { thread_id: thread, ...input } = args;
  const named = typeof thread === 'string' ? thread : undefined;
  if (!graph.conversational) return { input, thread: named };
  const { message, ...fields } = input;
  return { input: { ...fields, messages: [{ role: 'user', content: message ?? '' }] }, thread: named };
}

function toTool(graph: CatalogEntry): Tool {
  const title = inWords(graph.graph);
  return {
    name: toolName(graph.graph),
    title,
    description: graph.description || `Runs the graph "${graph.graph}".`,
    inputSchema: graph.conversational ? conversationSchema(graph) : plainSchema(graph),
    outputSchema,
    // Of revision 2025-11-25; later ones leave it to the server, and the SDK leaves it out.
    execution: { taskSupport: graph.taskSupport ?? 'optional' },
    annotations: unknownEffects(title),
  };
}

/** What an agent does with its own tools is not known here, so nothing is promised. 2025-03-26 has the title here. */
export function unknownEffects(title: string): ToolAnnotations {
  return { title, readOnlyHint: false, destructiveHint: true, idempotentHint: false, openWorldHint: true };
}

/** A name as a title. */
export function inWords(name: string): string {
  const words = name.replaceAll(/[_-]+/g, ' ').trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** One to one, also for graphs that are called `graph_get_run`. */
function toolName(graph: string): string {
  const isTaken = new RegExp(`^(graph_)*(${handleToolNames.join('|')})$`).test(graph);
  return isTaken ? `graph_${graph}` : graph;
}

const thread_id = {
  type: 'string',
  pattern: '^[A-Za-z0-9._:@~-]{1,128}$',
  description: 'The conversation to go on with, as an earlier call returned it; a new one when absent',
};

function conversationSchema(graph: CatalogEntry): Tool['inputSchema'] {
  const own = flatten(graph.inputSchema ?? {});
  const { messages: _, ...fields } = objectAt(own, 'properties');
  const required = requiredOf(own).filter((name) => name !== 'messages');
  return {
    // Only fields can need them: a schema of messages alone brings pages of definitions along.
    ...(Object.keys(fields).length > 0 && definitionsOf(own)),
    type: 'object',
    properties: {
      ...fields,
      message: { type: 'string', pattern: '\\S', description: 'What to say to the agent' },
      thread_id,
    },
    required: [...new Set(['message', ...required])],
    additionalProperties: false,
  };
}

function plainSchema(graph: CatalogEntry): Tool['inputSchema'] {
  const own = flatten(graph.inputSchema ?? {});
  const required = requiredOf(own).filter((name) => name !== 'thread_id');
  const { required: _, ...rest } = own;
  return {
    ...rest,
    type: 'object',
    properties: { ...objectAt(own, 'properties'), thread_id },
    ...(required.length > 0 && { required }),
  };
}

/** Some generators put the whole schema among the definitions and leave a reference at the root. */
function flatten(schema: JsonObject): JsonObject {
  const [, section, name] = /^#\/(\$defs|definitions)\/([^/]+)$/.exec(String(schema.$ref)) ?? [];
  if (section === undefined || name === undefined) return schema;
  const { $ref: _, ...rest } = schema;
  return { ...rest, ...objectAt(objectAt(schema, section), name) };
}

function definitionsOf(schema: JsonObject): JsonObject {
  const kept = ['$schema', '$defs', 'definitions'].flatMap((key): [string, Json][] => {
    const value = schema[key];
    return value === undefined ? [] : [[key, value]];
  });
  return Object.fromEntries(kept);
}

function requiredOf(schema: JsonObject): string[] {
  const { required } = schema;
  return Array.isArray(required) ? required.filter((name) => typeof name === 'string') : [];
}

function objectAt(schema: JsonObject, key: string): JsonObject {
  const value = schema[key];
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
}
