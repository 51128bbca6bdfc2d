import type { CheckpointTuple } from '@langchain/langgraph';
import type { RedisSaver } from '@millrace/checkpoint-redis';
import type { ExecutableGraph } from './loader/executable-graph.ts';
import { missingNodes } from './missing-nodes.ts';

/** Channels of LangGraph's pending writes that are not a task's result. */
const INTERRUPT = '__interrupt__';
const RESUME = '__resume__';
const NOT_RESULTS = new Set([INTERRUPT, RESUME, '__error__', '__error_source_node__', '__scheduled__']);

export interface OpenInterrupt {
  id: string;
  value: unknown;
}

export interface PendingTask {
  id: string;
  /** The node. */
  name: string;
  /** What it asks; empty when it does not wait for anybody. */
  interrupts: OpenInterrupt[];
  /** Where the sub-graph stands that is this node, if it is one and has begun. */
  inside: { graph: ExecutableGraph; standing: Standing } | undefined;
}

/** Where a thread stands: its head checkpoint, and what of the next step is not done. */
export interface Standing {
  checkpointId: string;
  /** The run that wrote the head. */
  writtenBy: string | undefined;
  /** Of the graph that wrote the head. */
  revision: string | undefined;
  /** Nodes that the next step has and this graph has not, also within sub-graphs: `node` or `sub-graph/node`. */
  missing: string[];
  /** Steps since the thread began. */
  step: number;
  values: Record<string, unknown>;
  /** Nothing comes after the head: the graph is at its end. */
  through: boolean;
  /** All tasks of the next step. */
  tasks: { id: string; name: string }[];
  /**
   * Tasks of the next step without a stored result. Empty at the end, and also where all results are stored and the step
   * itself is not.
   */
  pending: PendingTask[];
  /** Nodes whose work made the head. */
  finished: string[];
}

/** The head checkpoint of a thread's root graph. */
export function readHead(saver: RedisSaver, thread: string): Promise<CheckpointTuple | undefined> {
  return saver.getTuple(rootConfig(thread));
}

function rootConfig(thread: string) {
  return { configurable: { thread_id: thread, checkpoint_ns: '' } };
}

/**
 * @param checkpointId where it stood at that checkpoint instead of the head
 * @returns undefined for a thread without checkpoints
 */
export function standingOf(
  graph: ExecutableGraph,
  saver: RedisSaver,
  thread: string,
  checkpointId?: string,
): Promise<Standing | undefined> {
  return standingIn(graph, saver, thread, '', checkpointId);
}

async function standingIn(
  graph: ExecutableGraph,
  saver: RedisSaver,
  thread: string,
  namespace: string,
  checkpointId?: string,
): Promise<Standing | undefined> {
  const at = checkpointId === undefined ? {} : { checkpoint_id: checkpointId };
  const config = { configurable: { thread_id: thread, checkpoint_ns: namespace, ...at } };
  const head = await saver.getTuple(config);
  if (!head) return undefined;
  // A sub-graph has no checkpointer of its own; LangGraph hands the parent's down under this name.
  const reading = { configurable: { ...config.configurable, __pregel_checkpointer: saver } };
  const [state, parent] = await Promise.all([
    graph.getState(reading),
    head.parentConfig ? saver.getTuple(head.parentConfig) : undefined,
  ]);
  const subgraphs = new Map<string, ExecutableGraph>();
  for await (const [name, subgraph] of graph.getSubgraphsAsync())
    subgraphs.set(name, subgraph as ExecutableGraph);
  const insideOf = async (task: { id: string; name: string }): Promise<PendingTask['inside']> => {
    const subgraph = subgraphs.get(task.name);
    const within = [namespace, `${task.name}:${task.id}`].filter(Boolean).join('|');
    const standing = subgraph && (await standingIn(subgraph, saver, thread, within));
    return subgraph && standing ? { graph: subgraph, standing } : undefined;
  };
  const pending = await Promise.all(
    state.tasks
      .filter((task) => !hasResult(head, task.id))
      .map(async ({ id, name, interrupts }) => ({
        id,
        name: String(name),
        interrupts: interrupts.flatMap((one) =>
          one.id === undefined ? [] : [{ id: one.id, value: one.value }],
        ),
        inside: await insideOf({ id, name: String(name) }),
      })),
  );
  const missingInside = pending.flatMap(({ name, inside }) =>
    (inside?.standing.missing ?? []).map((node) => `${name}/${node}`),
  );
  return {
    checkpointId: head.checkpoint.id,
    writtenBy: writerOf(head),
    revision: metadataText(head, 'revision'),
    missing: [...missingNodes(graph, head), ...missingInside],
    step: head.metadata?.step ?? -1,
    values: asRecord(state.values),
    through: state.tasks.length === 0,
    tasks: state.tasks.map(({ id, name }) => ({ id, name: String(name) })),
    pending,
    finished: parent ? finishedBetween(parent, head) : [],
  };
}

/** Whether a task of the checkpoint's next step has its result stored. */
export function hasResult({ pendingWrites = [] }: CheckpointTuple, task: string): boolean {
  return pendingWrites.some(([writer, channel]) => writer === task && !NOT_RESULTS.has(channel));
}

export function writerOf(head: CheckpointTuple): string | undefined {
  return metadataText(head, 'run_id');
}

function metadataText({ metadata }: CheckpointTuple, name: 'run_id' | 'revision'): string | undefined {
  const value = (metadata as Record<string, unknown> | undefined)?.[name];
  return typeof value === 'string' ? value : undefined;
}

/** The nodes that have seen channel versions in the child that they had not seen in the parent. */
function finishedBetween(parent: CheckpointTuple, child: CheckpointTuple): string[] {
  const before = parent.checkpoint.versions_seen;
  return Object.entries(child.checkpoint.versions_seen)
    .filter(([node, seen]) =>
      Object.entries(seen).some(([channel, version]) => before[node]?.[channel] !== version),
    )
    .map(([node]) => node);
}

/**
 * How many answers each asking task holds already, by interrupt id.
 *
 * LangGraph gives every question of one task the same id; only the number of answers stored with that task tells
 * them apart. A question is stored with the task that asks and with each task around it (the node that is a sub-graph,
 * the entrypoint of a functional task); answers are with the one that asks.
 */
export async function answersHeld(
  saver: RedisSaver,
  thread: string,
  pending: PendingTask[],
): Promise<Map<string, number>> {
  const held = new Map<string, number>();
  for (const namespace of await saver.namespaces(thread)) {
    const [top = ''] = namespace.split('|');
    // A stateful sub-graph's namespace is its node's name alone.
    if (namespace !== '' && !pending.some(({ id, name }) => top === `${name}:${id}` || top === name))
      continue;
    const tuple = await saver.getTuple({ configurable: { thread_id: thread, checkpoint_ns: namespace } });
    const writes = tuple?.pendingWrites ?? [];
    for (const [task, channel, value] of writes) {
      if (channel !== INTERRUPT) continue;
      const answers = writes
        .filter(([other, name]) => other === task && name === RESUME)
        .reduce((count, [, , resumes]) => count + (Array.isArray(resumes) ? resumes.length : 1), 0);
      for (const { id } of [value].flat() as { id?: string }[]) {
        if (id !== undefined) held.set(id, Math.max(answers, held.get(id) ?? 0));
      }
    }
  }
  return held;
}

function asRecord(values: unknown): Record<string, unknown> {
  return typeof values === 'object' && values !== null
    ? (values as Record<string, unknown>)
    : { value: values };
}
