import type { CheckpointReader, CheckpointView, ListOptions } from '@millrace/checkpoint-redis/reader';
import type { DeadLetters } from '@millrace/shared/dead-letters';
import type { ListReader } from '@millrace/shared/list-reader';
import type { RunReader } from '@millrace/shared/run-reader';
import type { Replica } from './replica.ts';

/** A replica, and what reads lists there. */
export interface ReplicaOf<T> {
  replica: Replica;
  reader: T;
}

type Checkpoints = (tenant: string) => Pick<CheckpointReader, 'list'>;

/**
 * Lists and histories: all that may be read from a replica, and so be some seconds old. Nothing is decided by them, and whether
 * a thread is there at all is asked of the primary before.
 */
export class Lists {
  readonly #primary: { runs: ListReader['runs']; dead: ListReader['dead']; checkpoints: Checkpoints };
  readonly #main: ReplicaOf<ListReader> | undefined;
  readonly #checkpoints: ReplicaOf<Checkpoints> | undefined;

  constructor(
    primary: { runs: ListReader['runs']; dead: ListReader['dead']; checkpoints: Checkpoints },
    replicas: { main?: ReplicaOf<ListReader> | undefined; checkpoints?: ReplicaOf<Checkpoints> | undefined },
  ) {
    this.#primary = primary;
    this.#main = replicas.main;
    this.#checkpoints = replicas.checkpoints;
  }

  runsOfThread(...args: Parameters<RunReader['runsOfThread']>): ReturnType<RunReader['runsOfThread']> {
    return read(
      this.#main,
      ({ runs }) => runs.runsOfThread(...args),
      this.#primary,
      (found) => found.length === 0,
    );
  }

  deadLetters(...args: Parameters<DeadLetters['list']>): ReturnType<DeadLetters['list']> {
    return read(
      this.#main,
      ({ dead }) => dead.list(...args),
      this.#primary,
      ({ items }) => items.length === 0,
    );
  }

  /** A thread's states, newest first. */
  history(tenant: string, thread: string, options: ListOptions): Promise<CheckpointView[]> {
    return read(
      this.#checkpoints,
      (checkpoints) => gather(checkpoints(tenant).list(thread, options)),
      this.#primary.checkpoints,
      (found) => found.length === 0,
    );
  }
}

function read<S, T>(
  from: ReplicaOf<S> | undefined,
  list: (source: S) => Promise<T>,
  primary: S,
  isEmpty: (found: T) => boolean,
): Promise<T> {
  if (!from) return list(primary);
  return from.replica.read({ replica: () => list(from.reader), primary: () => list(primary), isEmpty });
}

async function gather<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
