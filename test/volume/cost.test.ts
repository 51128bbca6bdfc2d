import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RedisProcess } from '../faults/redis-process.ts';
import type { Cost } from './meter.ts';
import { StoreCost } from './store-cost.ts';
import { ThreadCost } from './thread-cost.ts';

/** Costs are counted, in commands and bytes, on a Redis of our own: no clock is asked. */

let server: RedisProcess;
let redis: Redis;

beforeEach(async () => {
  server = await RedisProcess.start();
  redis = new Redis(server.url);
});
afterEach(async () => {
  redis.disconnect();
  await server.remove();
});

const TIMES = 20;

/** What it takes to remove an old run or checkpoint where one more than is kept comes in. */
const ROOM = 10;

function expectSame(large: Record<string, Cost>, small: Record<string, Cost>): void {
  for (const [move, { commands, bytes }] of Object.entries(large)) {
    const before = small[move] ?? { commands: 0, bytes: 0 };
    expect([move, commands <= before.commands + ROOM]).toEqual([move, true]);
    // Numbers have more digits.
    expect([move, bytes <= 1.1 * before.bytes + 100]).toEqual([move, true]);
  }
}

it('no move of a run costs more when there are many finished ones', async () => {
  const cost = new StoreCost(redis);
  await cost.finished(64, (_, i) => `early-${i}`);
  const before = await cost.moves(TIMES);
  await cost.finished(3000, (_, i) => `thread-${i}`);
  expectSame(await cost.moves(TIMES), before);
});

it('nor on a thread that has many', async () => {
  const cost = new StoreCost(redis);
  await cost.finished(64, (lane) => `thread-${lane}`);
  const before = await cost.moves(TIMES, 'thread-0');
  for (let i = 0; i < 1500; i++) await cost.execute(await cost.accept('thread-0'));
  expectSame(await cost.moves(TIMES, 'thread-0'), before);
});

it('nor when many wait', async () => {
  const cost = new StoreCost(redis);
  const few: string[] = [];
  for (let i = 0; i < 2 * TIMES; i++) few.push(await cost.accept('few'));
  const before = await cost.moves(TIMES, 'few', few);
  const many: string[] = [];
  for (let i = 0; i < 2000; i++) many.push(await cost.accept('many'));
  expectSame(await cost.moves(TIMES, 'many', many), before);
});

it('a thread costs the same to load and to go on with, whatever its history', async () => {
  const thread = new ThreadCost(redis, 't', 0);
  for (let i = 0; i < 20; i++) await thread.step();
  const before = await thread.moves(TIMES);
  for (let i = 0; i < 1500; i++) await thread.step();
  expectSame(await thread.moves(TIMES), before);
});
