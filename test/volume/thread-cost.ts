import { type Checkpoint, emptyCheckpoint } from '@langchain/langgraph';
import { RedisSaver } from '@millrace/checkpoint-redis';
import { CheckpointReader } from '@millrace/checkpoint-redis/reader';
import type { Redis } from 'ioredis';
import { type Cost, Meter } from './meter.ts';

export const threadMoves = ['put', 'getTuple', 'state', 'page of 10'] as const;
export type ThreadMove = (typeof threadMoves)[number];

/** A thread whose history grows, at the checkpoint store. */
export class ThreadCost {
  readonly #saver: RedisSaver;
  readonly #reader: CheckpointReader;
  readonly #meter: Meter;
  readonly #thread: string;
  #head: Checkpoint | undefined;
  #step = 0;

  /** @param keep newest checkpoints kept; 0 keeps all */
  constructor(redis: Redis, thread: string, keep: number) {
    this.#thread = thread;
    this.#saver = new RedisSaver(redis, { keepCheckpoints: keep });
    this.#reader = new CheckpointReader(redis);
    this.#meter = new Meter(redis);
  }

  /** Stores one more step, whose state is `value`. */
  async step(value: unknown = `state ${this.#step}`): Promise<void> {
    const parent = this.#head;
    const versions = { messages: this.#saver.getNextVersion(this.#step) };
    this.#step += 1;
    this.#head = {
      ...emptyCheckpoint(),
      id: String(this.#step).padStart(12, '0'),
      channel_values: { messages: value },
      channel_versions: versions,
    };
    await this.#saver.put(
      { configurable: { thread_id: this.#thread, checkpoint_ns: '', checkpoint_id: parent?.id } },
      this.#head,
      { source: 'loop', step: this.#step, parents: {} },
      versions,
    );
  }

  async moves(times: number): Promise<Record<ThreadMove, Cost>> {
    const config = { configurable: { thread_id: this.#thread, checkpoint_ns: '' } };
    const page = async () => {
      for await (const _ of this.#reader.list(this.#thread, { limit: 10 }));
    };
    return {
      getTuple: await this.#meter.cost(times, () => this.#saver.getTuple(config)),
      state: await this.#meter.cost(times, () => this.#reader.head(this.#thread)),
      'page of 10': await this.#meter.cost(times, page),
      put: await this.#meter.cost(times, () => this.step()),
    };
  }
}
