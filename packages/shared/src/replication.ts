import type { RedisConnection } from './redis.ts';

const WAIT_MS = 1_000;

/** Redis has taken a write, and so many replicas have not, so that it may be lost with the server. */
export class NotReplicated extends Error {
  override readonly name = 'NotReplicated';
}

/** Waits for replicas to have what was written on a connection. */
export class Replication {
  readonly redis: RedisConnection;
  readonly #replicas: number;

  /**
   * @param redis a connection for such writes alone: Redis answers for what was written there, and nothing else gets through
   *   while it waits. Not a cluster, where each master has replicas of its own
   */
  constructor(redis: RedisConnection, replicas: number) {
    this.redis = redis;
    this.#replicas = replicas;
  }

  /** @throws NotReplicated after a second */
  async reached(): Promise<void> {
    const reached = await this.redis.wait(this.#replicas, WAIT_MS);
    if (reached >= this.#replicas) return;
    throw new NotReplicated(`${reached} replicas have it, and ${this.#replicas} are asked for`);
  }
}
