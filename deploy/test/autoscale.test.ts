import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { testRedis } from '@millrace/shared/test-redis';
import { expect, it, onTestFinished } from 'vitest';
import { builtApp } from '../../scripts/build.ts';
import { projectRoot } from '../../scripts/paths.ts';
import { StoreClient } from '../../test/client.ts';
import { startLedger } from '../../test/ledger.ts';
import { Clock } from '../autoscale/clock.ts';
import { scaleBy, untilEnded, untilLeast } from '../autoscale/emulate.ts';
import { Fleet } from '../autoscale/fleet.ts';
import { readWay } from '../autoscale/ways.ts';
import { namespaced } from './namespaced.ts';

it('brings workers from none by the files of keda-redis, keeps those that work, and takes them away again', async () => {
  const redis = await testRedis();
  const client = new StoreClient(redis);
  const ledger = await startLedger();
  const logDir = mkdtempSync(join(tmpdir(), 'millrace-autoscale-'));
  const force = new AbortController();
  const way = await readWay('keda-redis');
  const fleet = new Fleet({
    args: builtApp('worker'),
    cwd: projectRoot,
    env: {
      ...way.env,
      PATH: process.env.PATH ?? '',
      ...redis.env,
      LANGGRAPH_CONFIG: fileURLToPath(new URL('../../test/graphs/langgraph.json', import.meta.url)),
    },
    // As it is: leaving is work that takes the time it takes.
    graceMs: way.graceSeconds * 1000,
    logDir,
    started: () => {},
    force: force.signal,
  });
  const over = new AbortController();
  onTestFinished(async () => {
    over.abort();
    force.abort();
    await fleet.close();
    await ledger.close();
    await client.close();
    await redis.close();
    rmSync(logDir, { recursive: true });
  });
  const limit = { limitMs: 200_000, signal: over.signal };
  const clock = new Clock(300);
  ledger.hold('echo');
  const request = { config: { configurable: { ledger: ledger.url } } };
  const scaling = scaleBy(way.loops({ redis: namespaced(redis), gateway: '' }), fleet, clock, over.signal);

  const send = (count: number) =>
    Promise.all(Array.from({ length: count }, () => client.submit('echo', request)));
  const runs = await send(6);
  await ledger.called('echo', runs.length);
  expect(fleet.state).toMatchObject({ wanted: 2, leaving: 0 });
  runs.push(...(await send(4)));
  await ledger.called('echo', runs.length);
  // All of them execute now and none waits: who counted only those that wait would take every worker away.
  expect(fleet.state).toMatchObject({ wanted: 3, leaving: 0 });
  for (const later = clock.now() + 700; clock.now() < later; ) await pause(50);
  expect(fleet.state).toMatchObject({ wanted: 3, leaving: 0 });

  ledger.release('echo');
  const ended = await untilEnded(
    (id) => client.store.read.run('t', id),
    runs.map(({ runId }) => runId),
    limit,
  );
  expect(ended.map(({ status, attempt }) => ({ status, attempt }))).toEqual(
    runs.map(() => ({ status: 'succeeded', attempt: 1 })),
  );
  expect(await untilLeast(fleet, 0, limit)).toBe(true);
  expect({ killed: fleet.killed, died: fleet.died }).toEqual({ killed: [], died: [] });
  over.abort();
  await scaling;
});

it('lets no loop undo what another has decided meanwhile', async () => {
  const over = new AbortController();
  let wanted = 0;
  const fleet = {
    get state() {
      return { wanted, ready: 0, leaving: 0 };
    },
    scale: (to: number) => {
      wanted = to;
    },
  };
  const loop = (decide: (current: number) => number) => ({
    everySeconds: 1000,
    read: async () => 0,
    decide: (_: number, current: number) => decide(current),
  });
  const stays = loop((current) => current);
  const loops = [stays, loop((current) => current + 1), stays];
  const scaling = scaleBy(loops, fleet, new Clock(1), over.signal);
  // Each has had its first round then.
  await pause(0);
  over.abort();
  await scaling;
  expect(wanted).toBe(1);
});
