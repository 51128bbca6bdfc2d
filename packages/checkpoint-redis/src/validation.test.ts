import * as vitest from 'vitest';
import { RedisSaver, raiseFence } from './index.ts';
import { openSpace, type TestSpace } from './testing.ts';

// The suite uses vitest's globals.
Object.assign(globalThis, vitest);
const { deltaChannelHistoryTests, validate } = await import('@langchain/langgraph-checkpoint-validation');

const LEASE = { token: 2 ** 53 - 1, nonce: 'validation' };

/** The suite makes up thread ids, so the fence is raised when a thread is first written. */
class FencedSaver extends RedisSaver {
  readonly #prefix: string;
  constructor(redis: RedisSaver['redis'], prefix: string) {
    super(redis, { prefix, lease: LEASE });
    this.#prefix = prefix;
  }
  override async put(...args: Parameters<RedisSaver['put']>): ReturnType<RedisSaver['put']> {
    const threadId = args[0].configurable?.thread_id;
    if (threadId !== undefined) await raiseFence(this.redis, { prefix: this.#prefix, threadId }, LEASE);
    return super.put(...args);
  }
}

for (const [name, Saver] of [
  ['RedisSaver', undefined],
  ['RedisSaver with a lease', FencedSaver],
] as const) {
  const spaces = new Map<RedisSaver, TestSpace>();
  const initializer = {
    checkpointerName: name,
    createCheckpointer() {
      const space = openSpace();
      const { redis, prefix } = space;
      const saver = Saver ? new Saver(redis, prefix) : new RedisSaver(redis, { prefix });
      spaces.set(saver, space);
      return saver;
    },
    async destroyCheckpointer(saver: RedisSaver) {
      await spaces.get(saver)?.close();
      spaces.delete(saver);
    },
  };
  validate(initializer);
  deltaChannelHistoryTests(initializer);
}
