import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import type { AppProcess } from '../processes.ts';
import { events } from '../sse-events.ts';
import { check } from './checker.ts';
import { scenarios, steps } from './scenario.ts';
import { seeded } from './schedule.ts';

/** Faults of the network between single processes and Redis. */

vi.setConfig({ testTimeout: 180_000 });

const start = scenarios();

const breaks = ['held', 'refused', 'dead'] as const;

it('a worker whose every word to Redis takes 50 to 150 ms does its work, once', async () => {
  const { fleet, client } = await start({ workers: 0, gateways: 1 });
  const proxy = await fleet.proxy();
  proxy.delay(25, 75);
  await fleet.startWorker({ REDIS_URL: proxy.url });
  await client.drive({ graph: 'siblings', threads: 8, count: 24, width: 8 });
  await client.settled();
  expect(await check(fleet, client.acknowledged, { steps })).toEqual([]);
});

it('a worker cut off for longer than its lease in the middle of a run: another goes on, and nothing of it counts', async () => {
  const { fleet, client } = await start({ workers: 0, gateways: 1 });
  const proxy = await fleet.proxy();
  const cutOff = await fleet.startWorker({ REDIS_URL: proxy.url });
  let calls = 0;
  for (const how of breaks) {
    fleet.ledger.hold('b');
    const run = await client.submit('chain', 'zombie', how);
    await fleet.ledger.called('b', calls + 1);
    proxy.break(how);
    const other = await fleet.startWorker();
    await fleet.ledger.called('b', calls + 2);
    // The zombie's step ends too, and what it makes of it waits for the network.
    fleet.ledger.release('b');
    await client.outcome(run);
    proxy.heal();
    expect(await fleet.leave(other)).toBe(0);
    // Now there is nobody else to do this.
    await client.outcome(await client.submit('chain', 'zombie', `after ${how}`));
    calls += 3;
  }
  expect(cutOff.log.filter((line) => line.includes('nothing more is written'))).toHaveLength(breaks.length);
  expect(await check(fleet, client.acknowledged, { steps, repeats: breaks.length })).toEqual([]);
});

it('a gateway cut off refuses with 503 and Retry-After, and is back without a restart', async () => {
  const { fleet, client } = await start({ workers: 1, gateways: 0 });
  const proxy = await fleet.proxy();
  const gateway = await fleet.startGateway({ REDIS_URL: proxy.url });
  await client.outcome(await client.submit('echo', 'thread-0', 'before'));
  for (const how of breaks) {
    proxy.break(how);
    const refused = await message(gateway, how);
    expect(refused.status).toBe(503);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    // Clients that do not give up, while it is away and after.
    const load = client.drive({ graph: 'echo', threads: 6, count: 12, width: 6 });
    await sleep(1_000);
    proxy.heal();
    await load;
    // What was refused may have come through in the end. Sent again it counts once even so.
    const again = (await (await message(gateway, how)).json()) as { thread_id: string; status: string };
    expect(again.status).toBe('succeeded');
    const runs = await fetch(`${gateway.url}/threads/${again.thread_id}/runs`);
    expect(await runs.json()).toHaveLength(1);
  }
  await client.settled();
  expect(await check(fleet, client.acknowledged, { steps })).toEqual([]);
});

/** One order, however often it is sent. */
function message({ url }: AppProcess, key: string): Promise<Response> {
  return fetch(`${url}/message`, {
    method: 'POST',
    headers: { 'idempotency-key': key },
    body: JSON.stringify({ query: 'x', graph: 'echo' }),
  });
}

it('a stream goes on though the connection on which its gateway hears of news is cut or dies', async () => {
  const { fleet, client } = await start({ workers: 1, gateways: 0 });
  const proxy = await fleet.proxy();
  const gateway = await fleet.startGateway({ REDIS_URL: proxy.url });
  for (const how of ['reset', 'dead'] as const) {
    fleet.ledger.hold('b');
    const { runId } = await client.submit('chain', how, 'n');
    const stream = await fetch(`${gateway.url}/threads/${how}/runs/${runId}/stream`);
    const updates: string[] = [];
    for await (const { name, data } of events(stream)) {
      if (name !== 'updates') continue;
      updates.push(...Object.keys(JSON.parse(data)));
      if (updates.length > 1) continue;
      expect(proxy.breakThose('subscribe\r\n', how)).toBe(1);
      fleet.ledger.release('b');
    }
    expect(updates).toEqual(['a', 'b', 'c']);
  }
  await client.settled();
  expect(await check(fleet, client.acknowledged, { steps })).toEqual([]);
});

it('a worker for which everything takes more than a second: its lease holds, and its work is done once', async () => {
  const { fleet, client } = await start({ workers: 0, gateways: 1, env: { LEASE_SECONDS: '5' } });
  const proxy = await fleet.proxy();
  await fleet.startWorker({ REDIS_URL: proxy.url });
  proxy.delay(500, 700);
  for (const thread of ['t1', 't2', 't3']) await client.submit('echo', thread, 'slow');
  await fleet.ledger.called('echo', 3);
  proxy.delay(0);
  await client.settled();
  expect(await check(fleet, client.acknowledged, { steps })).toEqual([]);
});

it('replies lost at random, on their way to gateway and worker: nothing happens twice', async () => {
  const { fleet, client } = await start({ workers: 0, gateways: 0 });
  const random = seeded(1);
  const [toGateway, toWorker] = [await fleet.proxy(), await fleet.proxy()];
  await fleet.startGateway({ REDIS_URL: toGateway.url });
  await fleet.startWorker({ REDIS_URL: toWorker.url });
  for (const proxy of [toGateway, toWorker]) proxy.loseReplies(() => random() < 0.02);
  await client.drive({ graph: 'chain', threads: 10, count: 80, width: 5 });
  await client.settled();
  for (const proxy of [toGateway, toWorker]) {
    expect(proxy.lost).toBeGreaterThan(0);
    proxy.loseReplies(() => false);
  }
  expect(await check(fleet, client.acknowledged, { steps })).toEqual([]);
});
