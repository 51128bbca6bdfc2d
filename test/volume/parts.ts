import { setTimeout as sleep } from 'node:timers/promises';
import { RedisSaver } from '@millrace/checkpoint-redis';
import { RunStore } from '@millrace/shared/run-store';
import { Redis } from 'ioredis';
import { check } from '../faults/checker.ts';
import { Crowd } from '../faults/crowd.ts';
import { Fleet } from '../faults/fleet.ts';
import { LoadClient } from '../faults/load.ts';
import { RedisProcess } from '../faults/redis-process.ts';
import { atRest, probed, vitalsOf } from '../faults/vitals.ts';
import { memoryOf } from './meter.ts';
import { ratios, round } from './report.ts';
import { StoreCost } from './store-cost.ts';
import { ThreadCost } from './thread-cost.ts';

export interface PartOptions {
  say: (line: string) => void;
  /** A size as it is to be here. */
  size: (full: number) => number;
}

const TIMES = 300;
const MIB = 1024 * 1024;

async function withRedis(work: (redis: Redis) => Promise<void>): Promise<void> {
  const server = await RedisProcess.start();
  const redis = new Redis(server.url);
  try {
    await work(redis);
  } finally {
    redis.disconnect();
    await server.remove();
  }
}

/** Each is one question about growth, with a Redis of its own. */
export const parts: Record<string, (options: PartOptions) => Promise<void>> = {
  finished: ({ say, size }) =>
    withRedis(async (redis) => {
      const cost = new StoreCost(redis);
      const count = size(100_000);
      await cost.moves(TIMES);
      const before = await cost.moves(TIMES);
      const empty = await memoryOf(redis, 'millrace:*');
      await cost.finished(count, (_, i) => `done-${i}`, { throwaway: true });
      const full = await memoryOf(redis, 'millrace:*');
      say(ratios(`${round(count)} finished runs`, before, await cost.moves(TIMES)));
      const each = (full.bytes - empty.bytes) / count;
      say(
        `a finished run without a thread takes ${round(each)} bytes (its request, two events, an answer of one letter)`,
      );
      for (let i = 0; i < 50; i++) await cost.execute(await cost.accept('long'));
      const few = await cost.moves(TIMES, 'long');
      for (let i = 0; i < size(5000); i++) await cost.execute(await cost.accept('long'));
      say(
        ratios(`${round(size(5000))} runs of one thread, 1,000 kept`, few, await cost.moves(TIMES, 'long')),
      );
    }),

  queue: async (options) => {
    await queueAtStore(options);
    await queueWithFleet(options);
  },

  thread: ({ say, size }) =>
    withRedis(async (redis) => {
      for (const keep of [0, 100]) {
        const thread = new ThreadCost(redis, `t-${keep}`, keep);
        for (let i = 0; i < 10; i++) await thread.step();
        await thread.moves(TIMES);
        const before = await thread.moves(TIMES);
        const count = size(5000);
        for (let i = 0; i < count; i++) await thread.step();
        const kept = keep === 0 ? 'all kept' : `${keep} kept`;
        say(ratios(`${round(count)} checkpoints, ${kept}`, before, await thread.moves(TIMES)));
      }
    }),

  turns: ({ say, size }) =>
    withRedis(async (redis) => {
      const turns = size(400);
      const messages: string[] = [];
      const thread = new ThreadCost(redis, 'turns', 100);
      const sizes: string[] = [];
      for (let turn = 1; turn <= turns; turn++) {
        messages.push(`${turn} ${'x'.repeat(1000)}`);
        // As a turn of the built-in agent: input, answer, end.
        for (let step = 0; step < 3; step++) await thread.step([...messages]);
        if (turn % Math.ceil(turns / 4) === 0 || turn === turns) {
          const { bytes } = await memoryOf(redis, 'checkpoint:*');
          sizes.push(`${turn}: ${round(bytes / MIB)} MiB`);
        }
      }
      say(
        `\nmemory of a thread after so many turns, its messages whole at each step, 100 kept: ${sizes.join(', ')}`,
      );
      const started = performance.now();
      await new RedisSaver(redis).deleteThread('turns');
      say(`removed in ${round(performance.now() - started)} ms, in steps of 100 checkpoints`);
    }),

  clients: async ({ say, size }) => {
    const fleet = await Fleet.start({ gateways: 0, workers: 0 });
    try {
      await fleet.startWorker({ TEST_LEDGER: fleet.ledger.url, WORKER_CONCURRENCY: '500' });
      const gateway = await fleet.startGateway({}, probed);
      const crowd = new Crowd(fleet, gateway);
      const before = await vitalsOf(gateway);
      const count = size(1000);
      say(
        `\n${round(count)} clients that vanish, each round | live heap MiB | peak MiB | sockets | descriptors\n--- | ---: | ---: | ---: | ---:`,
      );
      for (let number = 0; number <= 6; number++) {
        if (number > 0) await crowd.vanish(count);
        const now = number === 0 ? before : await atRest(gateway, before);
        const cells = [
          number === 0 ? 'before' : number,
          round(now.heapBytes / MIB),
          round(now.peakBytes / MIB),
        ];
        say([...cells, now.sockets, now.descriptors].join(' | '));
      }
      crowd.close();
    } finally {
      await fleet.stop();
    }
  },
};

function queueAtStore({ say, size }: PartOptions): Promise<void> {
  return withRedis(async (redis) => {
    const cost = new StoreCost(redis);
    const fill = async (thread: string, count: number) => {
      const runs: string[] = [];
      for (let i = 0; i < count; i++) runs.push(await cost.accept(thread));
      return runs;
    };
    await cost.moves(TIMES, 'warm', await fill('warm', 2 * TIMES));
    const before = await cost.moves(TIMES, 'few', await fill('few', TIMES + 10));
    for (const full of [2000, 10_000]) {
      const count = Math.max(size(full), 2 * TIMES);
      const thread = `many-${full}`;
      const queue = await fill(thread, count);
      say(ratios(`${round(count)} waiting on one thread`, before, await cost.moves(TIMES, thread, queue)));
      const started = performance.now();
      await cost.accept(thread, { multitask: 'interrupt' });
      const ms = performance.now() - started;
      say(
        `one submit that interrupts the ${round(count - TIMES)} left: ${round(ms)} ms, ${round((1000 * ms) / (count - TIMES))} µs each`,
      );
    }
  });
}

async function queueWithFleet({ say, size }: PartOptions): Promise<void> {
  // All are kept, so that all can be checked.
  const fleet = await Fleet.start({ gateways: 1, workers: 0, env: { RUNS_KEPT: '0' } });
  try {
    // Leaves the graphs known.
    await fleet.leave(await fleet.startWorker());
    const client = new LoadClient(fleet);
    const count = size(10_000);
    const redis = fleet.redis.connect();
    const started = performance.now();
    await client.drive({ graph: 'echo', threads: Math.ceil(count / 5), count: count * 0.8, width: 16 });
    for (let i = 0; i < count * 0.2; i++) await client.submit('echo', 'crowded', `c${i}`);
    const { bytes } = await memoryOf(redis, '*');
    const submitted = performance.now() - started;
    say(
      `\n${round(count)} runs submitted in ${round(submitted / 1000)} s; they take ${round(bytes / MIB)} MiB of Redis`,
    );
    await Promise.all([fleet.startWorker(), fleet.startWorker()]);
    const { open } = new RunStore(redis, { keys: fleet.keys });
    while ((await open.load()).runs > 0) await sleep(100);
    const drained = performance.now() - started - submitted;
    // No violation is expected: the order of each thread, one end of each run, no step twice.
    const violations = await check(fleet, client.acknowledged, { steps: { echo: ['echo'] } });
    say(`drained by two workers in ${round(drained / 1000)} s; violations: ${violations.length}`);
    for (const one of violations.slice(0, 10)) say(`  ${one}`);
    redis.disconnect();
  } finally {
    await fleet.stop();
  }
}
