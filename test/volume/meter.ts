import type { Redis } from 'ioredis';

/** What one call of something cost. */
export interface Cost {
  /** Commands that Redis executed, those inside scripts included. */
  commands: number;
  /** Bytes that Redis sent. */
  bytes: number;
  /** Median, in milliseconds. */
  ms: number;
}

/** Counts on a Redis that nobody else uses. */
export class Meter {
  readonly #redis: Redis;

  /** @param redis a connection of its own, or the one that is measured */
  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** @param call is made `times` times, one after the other */
  async cost(times: number, call: (i: number) => Promise<unknown>): Promise<Cost> {
    const start = await this.#read();
    // What reading itself costs.
    const before = await this.#read();
    const took: number[] = [];
    for (let i = 0; i < times; i++) {
      const at = performance.now();
      await call(i);
      took.push(performance.now() - at);
    }
    const after = await this.#read();
    const rest = (name: 'commands' | 'bytes') =>
      (after[name] - before[name] - (before[name] - start[name])) / times;
    took.sort((a, b) => a - b);
    return { commands: rest('commands'), bytes: rest('bytes'), ms: took[Math.floor(times / 2)] ?? 0 };
  }

  async #read(): Promise<{ commands: number; bytes: number }> {
    const stats = await this.#redis.info('commandstats');
    const commands = [...stats.matchAll(/:calls=(\d+)/g)].reduce((sum, [, calls]) => sum + Number(calls), 0);
    const [, bytes] = /total_net_output_bytes:(\d+)/.exec(await this.#redis.info('stats')) ?? [];
    return { commands, bytes: Number(bytes) };
  }
}

/** Bytes that the keys of a pattern take, and how many there are. */
export async function memoryOf(redis: Redis, match: string): Promise<{ keys: number; bytes: number }> {
  const total = { keys: 0, bytes: 0 };
  for await (const page of redis.scanStream({ match, count: 1000 })) {
    const sizes = await Promise.all(
      (page as string[]).map((key) => redis.memory('USAGE', key, 'SAMPLES', 0)),
    );
    total.keys += sizes.length;
    total.bytes += sizes.reduce<number>((sum, size) => sum + Number(size), 0);
  }
  return total;
}
