import type { CheckpointTuple } from '@langchain/langgraph';
import type { RedisSaver } from '@millrace/checkpoint-redis';
import type { ExecutableGraph } from './loader/executable-graph.ts';

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
}

/** Where a thread stands: its head checkpoint, and what of the next step is not done. */
export interface Standing {
  checkpointId: string;
  /** The run that wrote the head. */
  writtenBy: string | undefined;
  /** Steps since the thread began. */
  step: number;
  values: Record<string, unknown>;
  /** Tasks without a stored result. */
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

/** @returns undefined for a thread without checkpoints */
export async function standingOf(
  graph: ExecutableGraph,
  saver: RedisSaver,
  thread: string,
): Promise<Standing | undefined> {
  const head = await readHead(saver, thread);
  if (!head) return undefined;
  const [state, parent] = await Promise.all([
    graph.getState({ configurable: { thread_id: thread } }),
    head.parentConfig ? saver.getTuple(head.parentConfig) : undefined,
  ]);
  const done = new Set(
    (head.pendingWrites ?? []).filter(([, channel]) => !NOT_RESULTS.has(channel)).map(([task]) => task),
  );
  return {
    checkpointId: head.checkpoint.id,
    writtenBy: writerOf(head),
    step: head.metadata?.step ?? -1,
    values: asRecord(state.values),
    pending: state.tasks
      .filter((task) => !done.has(task.id))
      .map((task) => ({
        id: task.id,
        name: String(task.name),
        interrupts: task.interrupts.flatMap(({ id, value }) => (id === undefined ? [] : [{ id, value }])),
      })),
    finished: parent ? finishedBetween(parent, head) : [],
  };
}

export function writerOf(head: CheckpointTuple): string | undefined {
  const runId = (head.metadata as { run_id?: unknown } | undefined)?.run_id;
  return typeof runId === 'string' ? runId : undefined;
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
 * them apart. An interrupt inside a sub-graph is stored twice, with the asking task and with the task of the parent
 * graph that holds it: the deepest one is the one that asks.
 */
export async function answersHeld(saver: RedisSaver, thread: string): Promise<Map<string, number>> {
  const held = new Map<string, { depth: number; answers: number }>();
  for (const namespace of await saver.namespaces(thread)) {
    const tuple = await saver.getTuple({ configurable: { thread_id: thread, checkpoint_ns: namespace } });
    const depth = namespace === '' ? 0 : namespace.split('|').length;
    const writes = tuple?.pendingWrites ?? [];
    for (const [task, channel, value] of writes) {
      if (channel !== INTERRUPT) continue;
      const answers = writes
        .filter(([other, name]) => other === task && name === RESUME)
        .reduce((count, [, , resumes]) => count + (Array.isArray(resumes) ? resumes.length : 1), 0);
      for (const { id } of [value].flat() as { id?: string }[]) {
        if (id !== undefined && depth >= (held.get(id)?.depth ?? 0)) held.set(id, { depth, answers });
      }
    }
  }
  return new Map([...held].map(([id, { answers }]) => [id, answers]));
}

function asRecord(values: unknown): Record<string, unknown> {
  return typeof values === 'object' && values !== null
    ? (values as Record<string, unknown>)
    : { value: values };
}
