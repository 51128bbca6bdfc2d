import { createHash } from 'node:crypto';
import type { GraphDescription, TaskSupport } from '@millrace/shared/contract/catalog';
import type { JsonObject } from '@millrace/shared/contract/json';
import type { GraphPrompt } from '@millrace/shared/contract/prompt';
import { assistantIdOf } from './assistant-id.ts';
import { type Binding, bindGraph, type ExecutableGraph, type GraphFactory } from './executable-graph.ts';
import { type GraphSchemas, graphSchemas, isConversational } from './graph-schemas.ts';
import type { LangGraphCopy } from './langgraph-copy.ts';

/** A graph that this worker can run. */
export interface LoadedGraph {
  readonly name: string;
  readonly description: string;
  /** The queue its runs travel in. */
  readonly queue: string;
  readonly taskSupport: TaskSupport | undefined;
  /** For people who talk to it by MCP. */
  readonly prompts: GraphPrompt[];
  /**
   * Sixteen hex digits that change when the graph is known to have changed: a hash of the entry file's text, the drawing,
   * the nodes of sub-graphs and the schemas. A change in a module that the entry file imports, or in a package, is not
   * seen unless it shows in one of these.
   */
  readonly revision: string;
  readonly schemas: GraphSchemas;
  readonly drawing: JsonObject;
  readonly conversational: boolean;
  /** The copy of LangGraph the graph was made with: take `Command`, `Send` and `RunControl` from here. */
  readonly langgraph: LangGraphCopy;
  /**
   * A graph for one attempt, with the given checkpointer in place of its own. Cheap, and safe for any number of
   * attempts at the same time. Rejects with what a `(config) => graph` factory throws.
   */
  bind(binding: Binding): Promise<ExecutableGraph>;
}

/** What makes a {@link LoadedGraph}. */
export interface GraphParts {
  name: string;
  description?: string | undefined;
  queue?: string | undefined;
  taskSupport?: TaskSupport | undefined;
  prompts?: GraphPrompt[];
  /** The graph itself; for a factory, what it made of an empty config. */
  graph: ExecutableGraph;
  factory?: GraphFactory | undefined;
  langgraph: LangGraphCopy;
  /** Text whose change is a change of the graph: the source of its entry file. */
  source: string;
}

/** Puts a graph together with what the catalog says of it. Rejects when the graph cannot be drawn. */
export async function makeLoadedGraph(parts: GraphParts): Promise<LoadedGraph> {
  const { name, graph, factory } = parts;
  const schemas = graphSchemas(graph);
  const drawing = JSON.parse(JSON.stringify((await graph.getGraphAsync({})).toJSON())) as JsonObject;
  const inside: [string, string[]][] = [];
  for await (const [path, subgraph] of graph.getSubgraphsAsync(undefined, true)) {
    inside.push([path, Object.keys(subgraph.nodes)]);
  }
  const own = (graph as { description?: unknown }).description;
  return {
    name,
    description: parts.description ?? (typeof own === 'string' && own !== '' ? own : `The graph ${name}.`),
    queue: parts.queue ?? 'default',
    taskSupport: parts.taskSupport,
    prompts: parts.prompts ?? [],
    revision: createHash('sha256')
      .update(JSON.stringify([parts.source, drawing, inside, schemas]))
      .digest('hex')
      .slice(0, 16),
    schemas,
    drawing,
    conversational: isConversational(graph),
    langgraph: parts.langgraph,
    bind: async (binding) =>
      bindGraph(
        factory === undefined ? graph : await factory(binding.config ?? { configurable: {} }),
        binding,
      ),
  };
}

/** What the worker publishes of a graph. */
export function toCatalogEntry(loaded: LoadedGraph): GraphDescription {
  return {
    graph: loaded.name,
    revision: loaded.revision,
    assistantId: assistantIdOf(loaded.name),
    description: loaded.description,
    queue: loaded.queue,
    ...(loaded.taskSupport && { taskSupport: loaded.taskSupport }),
    ...loaded.schemas,
    conversational: loaded.conversational,
    prompts: loaded.prompts,
    drawing: loaded.drawing,
  };
}
