import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { AppProcess } from '../processes.ts';
import { Crowd } from './crowd.ts';
import { Fleet } from './fleet.ts';
import { atRest, probed, vitalsOf } from './vitals.ts';

/** Clients that go away, and clients that never read. */

const ROUNDS = 5;
const CLIENTS = 200;

let fleet: Fleet;
let gateway: AppProcess;
let crowd: Crowd;

beforeEach(async () => {
  fleet = await Fleet.start({ gateways: 0, workers: 0 });
  await fleet.startWorker({ TEST_LEDGER: fleet.ledger.url, WORKER_CONCURRENCY: '200' });
  gateway = await fleet.startGateway({ CLIENT_STALL_SECONDS: '2' }, probed);
  crowd = new Crowd(fleet, gateway);
});
afterEach(async () => {
  crowd.close();
  expect(await fleet.stop()).toEqual([0, 0]);
});

it('a thousand clients that vanish leave nothing behind, and their runs end', {
  timeout: 120_000,
}, async () => {
  const before = await vitalsOf(gateway);
  const heap: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const runs = await crowd.vanish(CLIENTS);
    expect(runs).toHaveLength(1 + CLIENTS / 10);
    expect(new Set(runs.map((run) => run?.status))).toEqual(new Set(['succeeded']));
    const { heapBytes, descriptors } = await atRest(gateway, before);
    expect(descriptors).toBe(before.descriptors);
    heap.push(heapBytes);
  }
  // What is needed once has been loaded by the second round. A stream that is not let go takes twice as much and more.
  const [, second = 0] = heap;
  const perClient = ((heap.at(-1) ?? 0) - second) / (CLIENTS * (ROUNDS - 2));
  expect(perClient).toBeLessThan(4_000);
});

it('clients that never read cost little, and are cut', { timeout: 240_000 }, async () => {
  // More than the buffers of most connections take, in events that are large.
  const response = await fetch(`${gateway.url}/threads/flood/runs/wait`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      assistant_id: 'flood',
      input: { text: '200 x 50000' },
      stream_mode: ['custom'],
      if_not_exists: 'create',
    }),
  });
  expect(await response.json()).toMatchObject({ log: ['flood:200'] });
  const run = response.headers.get('Content-Location')?.split('/').at(-1);
  const before = await vitalsOf(gateway);
  const paths = [`/message/${run}`, `/threads/flood/runs/${run}/stream?stream_mode=custom`];
  const sockets = (await Promise.all(paths.map((path) => crowd.neverRead(100, path)))).flat();
  let heapBytes = 0;
  let seen = false;
  for (let left = true; left; await sleep(500)) {
    const now = await vitalsOf(gateway);
    heapBytes = Math.max(heapBytes, now.heapBytes);
    seen ||= now.sockets > before.sockets;
    left = !seen || now.sockets > before.sockets;
  }
  expect((heapBytes - before.heapBytes) / sockets.length).toBeLessThan(1024 * 1024);
  for (const socket of sockets) socket.destroy();
});
