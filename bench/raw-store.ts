import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';

export interface RawParts {
  checkpoint: Buffer;
  metadata: Buffer;
  /** Channels written at each step. */
  blobs: Record<string, Buffer>;
  /** Channels that were written before. */
  kept: Record<string, Buffer>;
}

/**
 * What any checkpointer must at least send to Redis: as many writes as `RedisSaver` makes and as many bytes, in one
 * pipeline, with nothing decided on the way.
 */
export class RawStore {
  readonly #redis: Redis;
  readonly #parts: RawParts;
  readonly #root = `raw:${randomUUID()}`;
  #seq = 0;

  constructor(redis: Redis, parts: RawParts) {
    this.#redis = redis;
    this.#parts = parts;
  }

  async put(): Promise<void> {
    const { checkpoint, metadata, blobs, kept } = this.#parts;
    const root = this.#root;
    const seq = `${++this.#seq}`;
    const pipeline = this.#redis.pipeline();
    pipeline.hincrby(root, 'seq', 1);
    for (const [channel, bytes] of Object.entries(blobs)) pipeline.hset(`${root}:b`, channel, bytes);
    for (const channel of Object.keys({ ...blobs, ...kept })) pipeline.hincrby(`${root}:r`, channel, 1);
    const fields = ['q', seq, 'p', seq, 'c', checkpoint, 'm', metadata, 'v', '4'];
    // One key for all: what is measured is the write, not a data set that grows.
    pipeline.hset(`${root}:c`, ...fields);
    pipeline.zadd(`${root}:i`, seq, 'id');
    pipeline.zadd(`${root}:ns`, seq, 'ns');
    pipeline.hset(root, 'v', '1', 't', seq);
    pipeline.hset(`${root}:heads`, 'ns', seq);
    await pipeline.exec();
  }

  async get(): Promise<void> {
    if (this.#seq === 0) await this.put();
    const { blobs, kept } = this.#parts;
    const root = this.#root;
    const pipeline = this.#redis.pipeline();
    pipeline.hget(`${root}:heads`, 'ns');
    pipeline.hmgetBuffer(`${root}:c`, 'p', 'q', 'c', 'm', 'v');
    pipeline.hmgetBuffer(`${root}:b`, ...Object.keys({ ...blobs, ...kept }));
    pipeline.hgetallBuffer(`${root}:w`);
    await pipeline.exec();
  }
}
