import type { CheckpointView, TaskView } from '@millrace/checkpoint-redis/reader';
import { toWireJson } from '@millrace/shared/wire-json';

/** Says that a state's `next` and `tasks` are not known yet: the worker has not described this checkpoint. */
export const STATE_BEHIND = { 'X-Millrace-State': 'behind' };

/** Where a checkpoint is, as the client sends it back. */
export interface WireCheckpoint {
  thread_id: string;
  checkpoint_ns: string;
  checkpoint_id: string | null;
  checkpoint_map: null;
}

/** A state of one graph, with those of its sub-graphs that are at work, where they were asked for. */
export interface StateTree {
  checkpointNs: string;
  /** Undefined when the thread has no state yet. */
  view: CheckpointView | undefined;
  /** Task id → the state of the sub-graph that the task runs. */
  subgraphs?: Map<string, StateTree>;
}

export function wireCheckpoint(thread: string, checkpointNs: string, checkpointId: string): WireCheckpoint {
  return {
    thread_id: thread,
    checkpoint_ns: checkpointNs,
    checkpoint_id: checkpointId,
    checkpoint_map: null,
  };
}

/** The checkpoint namespace in which the sub-graph of a task writes. */
export function taskNamespace(parentNs: string, task: Pick<TaskView, 'id' | 'name'>): string {
  const own = `${task.name}:${task.id}`;
  return parentNs === '' ? own : `${parentNs}|${own}`;
}

/** What a task asks, once it is done it asks no more. */
export function openInterrupts(task: TaskView): TaskView['interrupts'] {
  return task.done ? [] : task.interrupts;
}

/** A state as the Agent Server shows it; for `toWireJson`, since values hold LangChain's messages. */
export function toWireState(thread: string, { checkpointNs, view, subgraphs }: StateTree): object {
  if (!view) {
    return {
      values: {},
      next: [],
      tasks: [],
      metadata: {},
      created_at: null,
      checkpoint: null,
      parent_checkpoint: null,
      interrupts: [],
    };
  }
  return {
    values: view.values,
    next: view.next,
    tasks: view.tasks.map((task) => toWireTask(thread, task, subgraphs?.get(task.id))),
    metadata: view.metadata,
    created_at: view.createdAt,
    checkpoint: wireCheckpoint(thread, checkpointNs, view.checkpointId),
    parent_checkpoint:
      view.parentCheckpointId === undefined
        ? null
        : wireCheckpoint(thread, checkpointNs, view.parentCheckpointId),
    interrupts: view.tasks.flatMap(openInterrupts),
  };
}

function toWireTask(thread: string, task: TaskView, subgraph: StateTree | undefined): object {
  return {
    id: task.id,
    name: task.name,
    error: task.error?.message ?? null,
    interrupts: openInterrupts(task),
    checkpoint: subgraph
      ? { ...wireCheckpoint(thread, subgraph.checkpointNs, ''), checkpoint_id: null }
      : null,
    state: subgraph ? toWireState(thread, subgraph) : null,
    result: null,
  };
}

export function stateText(thread: string, tree: StateTree): string {
  return toWireJson(toWireState(thread, tree));
}
