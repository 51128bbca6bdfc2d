import { partitionOfThread } from '@millrace/shared/partition';
import { afterEach, expect, it, vi } from 'vitest';
import { check } from './checker.ts';
import { Fleet } from './fleet.ts';
import { LoadClient } from './load.ts';

/** Runs on one Redis, checkpoints on another: either can fail alone. */

const steps = { chain: ['a', 'b', 'c'] };

let fleet: Fleet | undefined;

async function start(env: Record<string, string> = {}) {
  const started = await Fleet.start({ checkpointRedis: true, env });
  fleet = started;
  const { checkpointRedis: checkpoints } = started;
  return { fleet: started, checkpoints, client: new LoadClient(started) };
}

// Several processes and servers each, and load: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 180_000 });

afterEach(async () => {
  const codes = await fleet?.stop();
  fleet = undefined;
  expect(codes?.filter((code) => code !== 0) ?? []).toEqual([]);
});

it('the store of checkpoints killed under load, for longer than a lease: runs wait, and no crash is charged', async () => {
  const { fleet, checkpoints, client } = await start({ CRASH_BUDGET: '0' });
  const load = client.drive({ graph: 'chain', threads: 8, count: 60, width: 4 });
  await fleet.ledger.called('b', 5);
  await checkpoints.away(4_000, 'killed');
  await load;
  await Promise.all(client.acknowledged.map((run) => client.outcome(run)));
  expect(await check(fleet, client.acknowledged, { steps })).toEqual([]);
});

it('a Redis of runs that refuses when a run begins is not the fault of the graph', async () => {
  const { fleet, checkpoints, client } = await start({ CRASH_BUDGET: '0' });
  const redis = fleet.redis.connect();
  try {
    await checkpoints.kill();
    const { runId } = await client.submit('chain', 'thread', 'n');
    const run = fleet.keys.run(fleet.keys.root(partitionOfThread('thread')), runId);
    while ((await redis.hget(run, 'status')) !== 'running');
    await redis.config('SET', 'min-replicas-to-write', '1');
    await checkpoints.up();
    const told = () =>
      fleet.workers.some(({ log }) => log.some((line) => line.includes('did not come through')));
    while (!told()) await new Promise(setImmediate);
    await redis.config('SET', 'min-replicas-to-write', '0');
  } finally {
    redis.disconnect();
  }
  await Promise.all(client.acknowledged.map((run) => client.outcome(run)));
  expect(await check(fleet, client.acknowledged, { steps })).toEqual([]);
});
