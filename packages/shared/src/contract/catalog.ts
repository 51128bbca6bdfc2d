import { z } from 'zod';
import { jsonObject } from './json.ts';
import { graphPrompt } from './prompt.ts';

/** Whether a graph's runs are handed to MCP clients as tasks: where the client takes them, always, or never. */
export const taskSupport = z.enum(['optional', 'required', 'forbidden']);
export type TaskSupport = z.infer<typeof taskSupport>;

/** What a worker publishes of a graph it has loaded; stays when the worker is gone. */
export const catalogEntry = z.object({
  graph: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/),
  /** Changes when the graph's code changes. */
  revision: z.string(),
  /** Of the graph's default assistant: the UUIDv5 of the graph's name, as the LangGraph Agent Server makes it. */
  assistantId: z.uuid(),
  description: z.string(),
  queue: z.string(),
  /** JSON Schemas; null where the graph does not say. */
  inputSchema: jsonObject.nullable(),
  outputSchema: jsonObject.nullable(),
  stateSchema: jsonObject.nullable(),
  configSchema: jsonObject.nullable(),
  contextSchema: jsonObject.nullable(),
  /** Whether the state is a conversation: has a `messages` channel. */
  conversational: z.boolean(),
  /** `optional` when absent. */
  taskSupport: taskSupport.optional(),
  /** Absent in what earlier releases published. */
  prompts: z.array(graphPrompt).optional(),
  /** Nodes and edges, as `Graph.toJSON()` of LangChain gives them. */
  drawing: jsonObject,
  /** Milliseconds since the epoch, by the clock of Redis; renewed for as long as a worker has the graph. */
  publishedAt: z.int(),
  /** Milliseconds since the epoch at which this revision was published first, by the clock of Redis. */
  since: z.int().optional(),
});
export type CatalogEntry = z.infer<typeof catalogEntry>;

/** An entry as the worker has it: the times are those of Redis. */
export type GraphDescription = Omit<CatalogEntry, 'publishedAt' | 'since'>;
