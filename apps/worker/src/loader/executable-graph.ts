import type { BaseCheckpointSaver, BaseStore } from '@langchain/langgraph';
import type { Pregel } from '@langchain/langgraph/pregel';
import { keepFinishedSiblings } from './finished-siblings.ts';
import { cacheNodes } from './node-caches.ts';

/** A compiled graph that can run, possibly of another copy of LangGraph than the worker's own. */
// biome-ignore lint/suspicious/noExplicitAny: what a user's graph has for nodes and channels is known at run time only.
export type ExecutableGraph = Pregel<any, any>;

/** What `bind` puts into a graph for one attempt. */
export interface Binding {
  /** Takes the place of whatever checkpointer the graph brings along; its subgraphs inherit it. */
  checkpointer: BaseCheckpointSaver;
  /** Takes the place of the graph's store; left alone when not given. */
  store?: BaseStore;
  /** The run's config; goes to a `(config) => graph` factory. */
  config?: { configurable?: Record<string, unknown>; context?: unknown; [key: string]: unknown };
}

/** Makes a compiled graph: what an export of the form `(config) => graph` becomes. */
export type GraphFactory = (config: NonNullable<Binding['config']>) => Promise<ExecutableGraph>;

/**
 * Whether something is a compiled graph of any copy of LangGraph (so no `instanceof`). A `RemoteGraph` is not: it runs
 * elsewhere, on somebody else's checkpointer.
 */
export function isExecutable(value: unknown): value is ExecutableGraph {
  if (typeof value !== 'object' || value === null) return false;
  const shape = value as Partial<
    Record<'lg_is_pregel' | 'nodes' | 'channels' | 'stream' | 'getState', unknown>
  >;
  return (
    shape.lg_is_pregel === true &&
    typeof shape.nodes === 'object' &&
    typeof shape.channels === 'object' &&
    typeof shape.stream === 'function' &&
    typeof shape.getState === 'function'
  );
}

/**
 * Turns what a module exports into a compiled graph: awaits a promise, unwraps `createAgent`'s `.graph`, compiles a
 * `StateGraph` builder.
 * @returns undefined when it is none of these.
 */
export async function toExecutable(exported: unknown): Promise<ExecutableGraph | undefined> {
  const value: unknown = await exported;
  if (isExecutable(value)) return value;
  if (typeof value !== 'object' || value === null) return undefined;
  const shape = value as { graph?: unknown; compile?: unknown };
  if (isExecutable(shape.graph)) return shape.graph;
  if (typeof shape.compile === 'function') {
    const compiled: unknown = shape.compile();
    if (isExecutable(compiled)) return compiled;
  }
  return undefined;
}

/**
 * A shallow copy of a graph that uses another checkpointer. Nodes and channel definitions are shared, and the copied
 * fields are all that a run reads, so any number of copies may run at the same time. The original is not changed:
 * LangGraph's own server sets `graph.checkpointer` on the shared instance, where concurrent attempts would overwrite
 * each other's. Subgraphs need no copy, as a checkpointer in the parent's config goes before their own.
 */
export function bindGraph(
  graph: ExecutableGraph,
  { checkpointer, store }: Pick<Binding, 'checkpointer' | 'store'>,
): ExecutableGraph {
  keepFinishedSiblings(graph);
  cacheNodes(graph);
  const copy = Object.assign(Object.create(Object.getPrototypeOf(graph)), graph) as ExecutableGraph;
  copy.checkpointer = checkpointer;
  if (store !== undefined) copy.store = store;
  return copy;
}
