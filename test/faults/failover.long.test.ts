import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { readEvents } from '@millrace/shared/event-reader';
import { createLogger } from '@millrace/shared/logger';
import { connect, whenReady } from '@millrace/shared/redis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { get, pathOf, streamOf } from './ask.ts';
import { check } from './checker.ts';
import { Fleet } from './fleet.ts';
import { type Acknowledged, LoadClient } from './load.ts';
import { Sentinels } from './sentinels.ts';

const steps = { chain: ['a', 'b', 'c'], echo: ['echo'] };

let sentinels: Sentinels;
let fleet: Fleet<Sentinels> | undefined;

beforeEach(async () => {
  sentinels = await Sentinels.start();
});

afterEach(async () => {
  const codes = fleet ? await fleet.stop() : await sentinels.remove();
  fleet = undefined;
  expect(codes?.filter((code) => code !== 0) ?? []).toEqual([]);
});

async function start(
  env: Record<string, string> = {},
): Promise<{ fleet: Fleet<Sentinels>; client: LoadClient }> {
  const started = await Fleet.startOn(sentinels, { env });
  fleet = started;
  return { fleet: started, client: new LoadClient(started) };
}

/** The token of the lease under which a run was executed. */
async function tokenOf(fleet: Fleet<Sentinels>, { runId }: Acknowledged): Promise<number> {
  const redis = fleet.connect();
  try {
    const found = await readEvents(redis, fleet.keys, runId, 0, 1000);
    return Math.max(...found.map(({ token }) => token));
  } finally {
    redis.disconnect();
  }
}

describe('a failover', () => {
  it('in the middle of runs, with the replica up to date: all end once, and nobody needs a restart', async () => {
    const { fleet, client } = await start();
    const load = client.drive({ graph: 'chain', threads: 8, count: 60, width: 4 });
    await fleet.ledger.called('b', 10);
    await sentinels.failOver();
    await load;
    await Promise.all(client.acknowledged.map((one) => client.outcome(one)));
    expect(await check(fleet, client.acknowledged, { steps, repeats: 16 })).toEqual([]);
  });

  it('with lost writes: with REDIS_WAIT_REPLICAS=1, no accepted run is among them', async () => {
    const { fleet, client } = await start({ REDIS_WAIT_REPLICAS: '1' });
    await client.drive({ graph: 'echo', threads: 4, count: 8, width: 4 });
    await sentinels.partReplica();
    const load = client.drive({ graph: 'echo', threads: 8, count: 40, width: 8 });
    // Steps are called of runs that were not accepted: they are on the server that is about to be lost.
    await fleet.ledger.called('echo', 12);
    await sentinels.failOver();
    // As a replica: with none nothing is accepted.
    await sentinels.master.up();
    await load;
    await Promise.all(client.acknowledged.map((one) => client.outcome(one)));
    expect(await check(fleet, client.acknowledged, { steps, wentBack: true })).toEqual([]);
  });

  it('with lost writes: without waiting, the runs among them are 404, and everything else goes on', async () => {
    const { fleet, client } = await start();
    await client.drive({ graph: 'echo', threads: 4, count: 8, width: 4 });
    await client.settled();
    fleet.ledger.hold('b');
    const atWork = await client.submit('chain', 'at-work', 'n');
    await fleet.ledger.called('b');
    await sentinels.partReplica();
    fleet.ledger.release('b');
    await client.outcome(atWork);
    const kept = [...client.acknowledged];
    await client.drive({ graph: 'echo', threads: 8, count: 20, width: 4 });
    const lostRun = await client.submit('echo', 'thread-0', 'lost');
    await client.settled();
    const lost = client.acknowledged.splice(kept.length);
    const token = await tokenOf(fleet, lostRun);
    const lastSeen = (await streamOf(fleet, atWork)).at(-1)?.id ?? '';

    await sentinels.failOver();
    const found = await Promise.all(lost.map((run) => get(fleet, pathOf(run))));
    expect(found.map(({ status }) => status)).toEqual(lost.map(() => 404));
    expect((await streamOf(fleet, atWork, lastSeen)).map(({ name }) => name)).toContain('gap');
    await client.drive({ graph: 'echo', threads: 8, count: 16, width: 4 });
    const after = await client.submit('echo', 'thread-0', 'after');
    await client.settled();
    expect(await tokenOf(fleet, after)).toBeGreaterThan(token);
    // The run at work does its last two steps again.
    expect(await check(fleet, client.acknowledged, { steps, wentBack: true })).toEqual([]);
  });
});

it('that is told of while a connection still looks for the master does not end the connection', async () => {
  const target = { url: sentinels.url };
  const logger = createLogger('test', 'silent');
  const [gateway, worker] = [connect(target, 'gateway', logger), connect(target, 'worker', logger)];
  try {
    await Promise.all([gateway, worker].map(whenReady));
    // The connections break while the Sentinels are about to decide. Looking for the master takes as long as the first
    // Sentinel is waited for, so the news comes in the middle.
    sentinels.hangFirst();
    sentinels.master.pause();
    await sleep(700);
    const replaced = sentinels.failOver();
    await Promise.all([gateway, worker].map((one) => once(one, 'close')));
    const waiting = worker.append('key', 'x');
    await replaced;
    expect(await waiting).toBe(1);
    while ((await gateway.get('key').catch(() => undefined)) !== 'x') await sleep(50);
  } finally {
    gateway.disconnect();
    worker.disconnect();
  }
});
