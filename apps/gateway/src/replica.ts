import type { Logger } from '@millrace/shared/logger';
import { mastersOf, parseInfo, type RedisConnection } from '@millrace/shared/redis';
import { Reading } from './reading.ts';

/** A primary that has nothing to say pings its replicas every ten seconds. */
const SILENCE_SECONDS = 15;
/** After a read that failed, the replica is left alone for so long. */
const REST_MS = 5_000;

export type ReadSource = 'replica' | 'primary';

interface Fitness {
  /** Why it is not to be asked. */
  fault: string | undefined;
}

export interface ReplicaOptions {
  /** Of role `optional`. */
  redis: RedisConnection;
  primary: RedisConnection;
  /** Where its URL is set, for the log. */
  variable: string;
  /** Told of each list, by who gave it. */
  onRead: (source: ReadSource) => void;
  logger: Logger;
}

/**
 * A replica that may answer what may be some seconds old. While it is out of reach, cut off from its primary, or no replica of
 * it, the primary answers.
 */
export class Replica {
  readonly #options: ReplicaOptions;
  readonly #fitness: Reading<Fitness>;
  #restUntil = 0;
  #used = true;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.#fitness = new Reading(
      () => fitnessOf(options),
      () => undefined,
    );
  }

  /**
   * Reads a list from the replica. An empty one is read again from the primary: it may have begun a moment ago, and who
   * has made its first entry must find it.
   */
  async read<T>(from: {
    replica: () => Promise<T>;
    primary: () => Promise<T>;
    isEmpty: (found: T) => boolean;
  }): Promise<T> {
    const { onRead } = this.#options;
    if (await this.#isFit()) {
      try {
        const found = await from.replica();
        if (!from.isEmpty(found)) {
          onRead('replica');
          return found;
        }
      } catch (error) {
        this.#restUntil = performance.now() + REST_MS;
        this.#tell(error instanceof Error ? error.message : String(error));
      }
    }
    onRead('primary');
    return from.primary();
  }

  async #isFit(): Promise<boolean> {
    if (performance.now() < this.#restUntil) return false;
    const fitness = await this.#fitness.get();
    const fault = fitness === undefined ? 'it does not answer' : fitness.fault;
    this.#tell(fault);
    return fault === undefined;
  }

  /** One line when it falls out of use, one when it is back. */
  #tell(fault: string | undefined): void {
    const used = fault === undefined;
    if (used === this.#used) return;
    this.#used = used;
    const { logger, variable } = this.#options;
    if (used) logger.info({ variable }, 'the replica answers lists again');
    else logger.warn({ variable, fault }, 'the replica cannot be used; the primary answers lists');
  }
}

/** Not what it is called, but what it says: a URL may lead to whoever is a replica now. */
async function fitnessOf({ redis, primary }: ReplicaOptions): Promise<Fitness> {
  const [theirs, own] = await Promise.all(
    [redis, primary].map(async (one) => parseInfo((await mastersOf(one)[0]?.info('replication')) ?? '')),
  );
  return { fault: judge(theirs, own) };
}

function judge(
  theirs: Map<string, string> | undefined,
  own: Map<string, string> | undefined,
): string | undefined {
  if (theirs?.get('master_replid') !== own?.get('master_replid')) return 'it is no replica of the primary';
  // The URL leads to the primary itself, as it may after a failover.
  if (theirs?.get('role') === 'master') return undefined;
  if (theirs?.get('master_link_status') !== 'up') return 'it is cut off from its primary';
  const silent = Number(theirs.get('master_last_io_seconds_ago') ?? 0);
  return silent > SILENCE_SECONDS ? `it has heard nothing of its primary for ${silent} s` : undefined;
}
