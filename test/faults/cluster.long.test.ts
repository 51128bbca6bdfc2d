import { setTimeout as sleep } from 'node:timers/promises';
import { partitionOfThread } from '@millrace/shared/partition';
import type { Cluster } from 'ioredis';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { threadKey } from '../../packages/checkpoint-redis/src/keys.ts';
import { check } from './checker.ts';
import { Fleet, type FleetOptions } from './fleet.ts';
import { LoadClient } from './load.ts';
import { RedisCluster, SlotMove } from './redis-cluster.ts';

/** A fleet on a Redis Cluster of three masters, and what can happen to it there. */

const steps = { chain: ['a', 'b', 'c'], siblings: ['x', 'y', 'z', 'join'] };

let fleet: Fleet<RedisCluster> | undefined;
let admin: Cluster | undefined;

async function start(options: FleetOptions = {}) {
  const started = await Fleet.startOn(await RedisCluster.start(), options);
  fleet = started;
  admin = started.redis.connect();
  return { fleet: started, admin, client: new LoadClient(started) };
}

// Several processes and servers each, and load: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 180_000 });

afterEach(async () => {
  admin?.disconnect();
  const codes = await fleet?.stop();
  fleet = undefined;
  expect(codes?.filter((code) => code !== 0) ?? []).toEqual([]);
});

it('a worker and a master killed under load: nothing is lost, only unfinished steps repeat', async () => {
  const { fleet, client } = await start();
  const load = client.drive({ graph: 'siblings', threads: 20, count: 100, width: 5 });
  await fleet.ledger.called('x', 20);
  const [victim] = fleet.workers;
  if (victim) await fleet.kill(victim);
  await fleet.startWorker();
  const [node] = fleet.redis.nodes;
  // Long enough for the others to call the cluster down.
  await node?.away(4_000, 'killed');
  await load;
  await Promise.all(client.acknowledged.map((run) => client.outcome(run)));
  // The worker had eight runs at most, each with three steps side by side.
  expect(await check(fleet, client.acknowledged, { steps, repeats: 8 * 3 })).toEqual([]);
});

it('slots moved under load, of runs, of checkpoints and of the queue: nothing is lost or done twice', async () => {
  const { fleet, admin, client } = await start();
  const keys = [
    fleet.keys.root(partitionOfThread('thread-0')),
    threadKey({ prefix: fleet.keys.checkpoints(), namespace: 'default', threadId: 'thread-1' }),
    fleet.keys.queuePrefix(),
  ];
  for (const [i, key] of keys.entries()) {
    const load = client.drive({ graph: 'chain', threads: 4, count: 40, width: 4 });
    await fleet.ledger.called('a', 40 * i + 4);
    const move = await SlotMove.begin(admin, key);
    // Long enough for every party to run into it, at each stage.
    for (const count of [1, 5]) {
      await sleep(500);
      await move.keys(count);
    }
    await sleep(500);
    await move.finish();
    await load;
  }
  await Promise.all(client.acknowledged.map((run) => client.outcome(run)));
  expect(await check(fleet, client.acknowledged, { steps })).toEqual([]);
});

describe('a slot that stays on the move for longer than a lease', () => {
  const threads = Array.from({ length: 8 }, (_, i) => `thread-${i}`);
  const stuck = partitionOfThread('thread-0');
  const free = threads.filter((thread) => partitionOfThread(thread) !== stuck);

  async function held(options: FleetOptions) {
    const started = await start({ ...options, workers: 1 });
    const { fleet, admin, client } = started;
    fleet.ledger.hold('b');
    await Promise.all(threads.map((thread) => client.submit('chain', thread, 'held')));
    await fleet.ledger.called('b', threads.length);
    return { ...started, move: await SlotMove.begin(admin, fleet.keys.root(stuck)) };
  }

  it('costs no run its lease, neither there nor elsewhere', async () => {
    const { fleet, client, move } = await held({ env: { CRASH_BUDGET: '0' } });
    await sleep(5_000);
    await move.finish();
    fleet.ledger.release('b');
    await Promise.all(client.acknowledged.map((run) => client.outcome(run)));
    expect(await check(fleet, client.acknowledged, { steps })).toEqual([]);
  });

  it('does not keep the runs of other slots from being taken over', async () => {
    const { fleet, client, move } = await held({});
    const [victim] = fleet.workers;
    if (victim) await fleet.kill(victim);
    await fleet.startWorker();
    await fleet.ledger.called('b', threads.length + free.length);
    await move.finish();
    fleet.ledger.release('b');
    await Promise.all(client.acknowledged.map((run) => client.outcome(run)));
    expect(await check(fleet, client.acknowledged, { steps, repeats: threads.length })).toEqual([]);
  });
});
