import {
  type CheckpointMetadata,
  type CheckpointPendingWrite,
  ERROR,
  INTERRUPT,
  isDeltaSnapshot,
  RESUME,
  SCHEDULED,
} from '@langchain/langgraph-checkpoint';
import type { CheckpointDescription } from './description.ts';
import type { RedisClient } from './scripts.ts';
import { CheckpointStore, matchesMetadata, type StoredCheckpoint, type StoreOptions } from './store.ts';

export type { CheckpointDescription } from './description.ts';
export type { RedisClient } from './scripts.ts';

export type CheckpointReaderOptions = StoreOptions;

export interface InterruptView {
  id?: string;
  value: unknown;
  [key: string]: unknown;
}

export interface TaskView {
  id: string;
  /** The node; empty when the checkpoint is not described. */
  name: string;
  error?: { name: string; message: string };
  /** What the task asked. Still there when it was answered: an open question belongs to a task that is not done. */
  interrupts: InterruptView[];
  /** The task's result is stored; it will not be called again. */
  done: boolean;
}

/** A checkpoint for readers that have no graph code. */
export interface CheckpointView {
  checkpointId: string;
  parentCheckpointId?: string;
  /** ISO 8601, by the clock of the writer: not an order. */
  createdAt: string;
  /** The described channels, or all that are not LangGraph's own. Delta channels only where they are stored whole. */
  values: Record<string, unknown>;
  metadata: CheckpointMetadata<Record<string, unknown>>;
  /**
   * The nodes of the next step; empty when not described. Of the head only those that are still to run, as LangGraph
   * has it: an older checkpoint's step is over, and what it was is of interest.
   */
  next: string[];
  /** The described tasks, or only those with an error, a question or a result when not described. */
  tasks: TaskView[];
  described: boolean;
}

export interface GetOptions {
  /** Default: the head. */
  checkpointId?: string | undefined;
  /** Default: the root graph. */
  checkpointNs?: string | undefined;
}

export interface ListOptions {
  /** At most so many, after filtering. Default: all that are kept. */
  limit?: number | undefined;
  /** Only checkpoints that were inserted before this one. */
  before?: string | undefined;
  /** Each key must be in the metadata with an equal value. */
  filter?: Record<string, unknown> | undefined;
  /** Default: the root graph. */
  checkpointNs?: string | undefined;
}

/** Writes that say something about a task but are not its result. */
const NOT_RESULTS = new Set([ERROR, INTERRUPT, RESUME, SCHEDULED, '__error_source_node__']);
/** Writes that no task made: input, and answers to all questions at once. */
const NO_TASK = '00000000-0000-0000-0000-000000000000';

/** Reads threads without any graph code and without the right to write. */
export class CheckpointReader {
  readonly #store: CheckpointStore;

  constructor(redis: RedisClient, options: CheckpointReaderOptions = {}) {
    this.#store = new CheckpointStore(redis, options);
  }

  /** The newest state of the root graph; undefined when the thread has none. */
  head(threadId: string): Promise<CheckpointView | undefined> {
    return this.get(threadId);
  }

  async get(threadId: string, options: GetOptions = {}): Promise<CheckpointView | undefined> {
    const { checkpointId, checkpointNs = '' } = options;
    const stored = await this.#store.get(threadId, checkpointNs, checkpointId, isShown);
    return stored && viewOf(stored, checkpointId === undefined);
  }

  /** Newest first, by insertion. Read page by page: leaving the loop early costs nothing more. */
  async *list(threadId: string, options: ListOptions = {}): AsyncGenerator<CheckpointView> {
    const { limit = Number.POSITIVE_INFINITY, before, filter = {}, checkpointNs = '' } = options;
    if (limit <= 0) return;
    let left = limit;
    const start = before === undefined ? undefined : { checkpointId: before };
    for await (const stored of this.#store.list(threadId, checkpointNs, start, isShown)) {
      if (!matchesMetadata(stored.metadata, filter)) continue;
      yield viewOf(stored, false);
      left -= 1;
      if (left <= 0) return;
    }
  }
}

function isShown(channel: string, description: CheckpointDescription | undefined): boolean {
  if (description) return description.channels.includes(channel);
  return !channel.startsWith('__') && !channel.startsWith('branch:');
}

function viewOf(stored: StoredCheckpoint, isHead: boolean): CheckpointView {
  const { checkpoint, description, pendingWrites } = stored;
  const ids = description?.tasks ?? tasksOf(pendingWrites);
  const tasks = ids.map(({ id, name }) => taskView(id, name, pendingWrites));
  const view: CheckpointView = {
    checkpointId: stored.checkpointId,
    createdAt: checkpoint.ts,
    values: {
      ...description?.defaults,
      ...Object.fromEntries(
        Object.entries(checkpoint.channel_values).map(([channel, value]) => [
          channel,
          isDeltaSnapshot(value) ? value.value : value,
        ]),
      ),
    },
    metadata: stored.metadata as CheckpointMetadata<Record<string, unknown>>,
    next: description ? tasks.filter((task) => !(isHead && task.done)).map((task) => task.name) : [],
    tasks,
    described: description !== undefined,
  };
  if (stored.parentCheckpointId !== undefined) view.parentCheckpointId = stored.parentCheckpointId;
  return view;
}

function tasksOf(writes: CheckpointPendingWrite[]): { id: string; name: string }[] {
  const ids = new Set(writes.map(([task]) => task));
  ids.delete(NO_TASK);
  return [...ids].map((id) => ({ id, name: '' }));
}

function taskView(id: string, name: string, writes: CheckpointPendingWrite[]): TaskView {
  const view: TaskView = { id, name, interrupts: [], done: false };
  for (const [task, channel, value] of writes) {
    if (task !== id) continue;
    if (channel === INTERRUPT) view.interrupts.push(...([value].flat() as InterruptView[]));
    if (channel === ERROR) view.error = errorView(value);
    if (!NOT_RESULTS.has(channel)) view.done = true;
  }
  return view;
}

function errorView(value: unknown): { name: string; message: string } {
  const { name = 'Error', message = String(value) } = (value ?? {}) as { name?: string; message?: string };
  return { name, message };
}
