import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import type { AppProcess } from '../processes.ts';
import { events, type SseEvent } from '../sse-events.ts';
import { get, pathOf, streamOf } from './ask.ts';
import { check } from './checker.ts';
import type { Fleet } from './fleet.ts';
import type { Acknowledged, LoadClient } from './load.ts';
import { scenarios, steps } from './scenario.ts';

/** An older state of the data comes back, and everybody remembers more than Redis does. */

vi.setConfig({ testTimeout: 180_000 });

const start = scenarios();

/** Takes runs out of what is to be checked: those that were lost with their time. */
function forget(client: LoadClient, ...runs: Acknowledged[]): void {
  for (const run of runs) client.acknowledged.splice(client.acknowledged.lastIndexOf(run), 1);
}

/** The values of a thread's state. */
async function valuesOf(fleet: Fleet, thread: string): Promise<Record<string, unknown>> {
  return (
    (await (await get(fleet, `/threads/${thread}/state`)).json()) as { values: Record<string, unknown> }
  ).values;
}

/** A client that comes back with the last id it saw, until the stream is complete. */
async function* follow(fleet: Fleet, path: string): AsyncGenerator<SseEvent> {
  let last: string | undefined;
  for (;;) {
    try {
      const response = await get(fleet, path, last === undefined ? {} : { 'Last-Event-ID': last });
      for await (const event of events(response)) {
        if (event.id) last = event.id;
        yield event;
      }
      return;
    } catch {
      await sleep(50);
    }
  }
}

it('no thread is stuck, what was lost is said to be, and what was kept counts once', async () => {
  const { fleet, client } = await start({ gateways: 1 });
  const kept = await client.submit('echo', 'kept', 'kept', { key: 'kept' });
  await client.outcome(kept);
  fleet.ledger.hold('b');
  const atWork = await client.submit('chain', 'at-work', 'n');
  const behind = await client.submit('parts', 'at-work', 'behind');
  await fleet.ledger.called('b');

  await fleet.redis.snapshot();
  fleet.ledger.release('b');
  await client.outcome(behind);
  const later = await client.submit('echo', 'kept', 'later', { key: 'later' });
  const elsewhere = await client.submit('echo', 'new', 'n', { key: 'new' });
  await client.settled();
  const before = await streamOf(fleet, atWork);

  await fleet.redis.restore();
  for (const lost of [later, elsewhere]) {
    expect((await get(fleet, pathOf(lost))).status).toBe(404);
    expect(
      (await get(fleet, `${pathOf(lost)}/stream`, { 'Last-Event-ID': before.at(-1)?.id ?? '' })).status,
    ).toBe(404);
  }
  const known = before.findIndex((event) => event.data.includes('b:n'));
  expect(known).toBeGreaterThan(0);
  for (const { id } of before.slice(known)) {
    const resumed = await streamOf(fleet, atWork, id);
    expect(resumed.slice(0, 2).map((event) => event.name)).toEqual(['gap', 'values']);
    expect(resumed.filter((event) => event.data.includes('c:n') && event.name === 'updates')).toHaveLength(1);
  }

  forget(client, later, elsewhere);
  const again = await client.submit('echo', 'kept', 'later', { key: 'later' });
  expect(again.runId).not.toBe(later.runId);
  await client.submit('echo', 'new', 'n', { key: 'new' });
  const found = await client.submit('echo', 'kept', 'kept', { key: 'kept' });
  expect(found.runId).toBe(kept.runId);
  forget(client, found);
  for (const thread of ['kept', 'at-work', 'new']) await client.submit('chain', thread, 'after');
  await client.settled();
  // What was at work in the snapshot has done its last two steps twice. So has what waited behind it, for which Redis knows
  // of one attempt only; hence its steps are not counted.
  const logs = { parts: () => [] };
  expect(await check(fleet, client.acknowledged, { steps, logs, repeats: 2 })).toEqual([]);
});

it('a run at work through it does not build on steps that are gone, and its stream says so', async () => {
  // With no budget: this is no crash.
  const { fleet, client } = await start({ gateways: 1, workers: 1, env: { CRASH_BUDGET: '0' } });
  fleet.ledger.hold('two');
  const run = await client.submit('parts', 'parts', 'n');
  await fleet.ledger.called('two');
  await fleet.redis.snapshot();
  fleet.ledger.hold('three');
  const seen: SseEvent[] = [];
  let sawTwo = () => {};
  const two = new Promise<void>((resolve) => {
    sawTwo = resolve;
  });
  const following = (async () => {
    for await (const event of follow(fleet, `${pathOf(run)}/stream`)) {
      seen.push(event);
      if (event.data.includes('writeTwo')) sawTwo();
    }
  })();
  fleet.ledger.release('two');
  await fleet.ledger.called('three');
  await two;
  await fleet.redis.restore();
  fleet.ledger.release('three');
  await client.outcome(run);
  expect(await valuesOf(fleet, 'parts')).toMatchObject({ one: 'n', two: 'n', three: 'n' });
  await following;
  const names = seen.map((event) => event.name);
  expect(names.indexOf('gap')).toBeGreaterThan(0);
  const afterGap = seen.slice(names.lastIndexOf('gap')).filter((event) => event.name === 'updates');
  expect(afterGap.at(-1)?.data).toContain('writeThree');
  const partsSteps = { parts: ['one', 'two', 'three'] };
  const logs = { parts: () => [] };
  expect(await check(fleet, client.acknowledged, { steps: partsSteps, logs, repeats: 2 })).toEqual([]);
});

it('a run that Redis has forgotten is stopped, and leaves nothing', async () => {
  const { fleet, client } = await start({ gateways: 1, workers: 1 });
  await client.outcome(await client.submit('echo', 'kept', 'kept'));
  await fleet.redis.snapshot();
  fleet.ledger.hold('b');
  const forgotten = [
    await client.submit('chain', 'kept', 'forgotten'),
    await client.submit('chain', 'new', 'forgotten'),
  ];
  await fleet.ledger.called('b', 2);
  await fleet.redis.restore();
  const [worker] = fleet.workers;
  await said(worker, 'nothing more is written', 2);
  fleet.ledger.release('b');
  forget(client, ...forgotten);
  await client.outcome(await client.submit('echo', 'kept', 'after'));
  expect(fleet.ledger.count('c')).toBe(0);
  expect((await get(fleet, '/threads/new')).status).toBe(404);
  expect(await check(fleet, client.acknowledged, { steps })).toEqual([]);
});

/** Waits until a process has logged a text so many times. */
async function said(app: AppProcess | undefined, text: string, times: number): Promise<void> {
  while ((app?.log.filter((line) => line.includes(text)).length ?? 0) < times) await sleep(20);
}

describe('where checkpoints have a Redis of their own,', () => {
  it('that one alone goes back: every thread goes on from what it has', async () => {
    const { fleet, client } = await start({
      checkpointRedis: true,
      gateways: 1,
      workers: 1,
      env: { CRASH_BUDGET: '0' },
    });
    const threads = ['idle', 'at-work'];
    for (const thread of threads) await client.outcome(await client.submit('echo', thread, 'kept'));
    await fleet.checkpointRedis.snapshot();
    const lost = await Promise.all(threads.map((thread) => client.submit('echo', thread, 'lost')));
    const asked = await client.submit('ask', 'parked', 'lost');
    await client.settled();
    fleet.ledger.hold('b');
    await client.submit('chain', 'at-work', 'n');
    await fleet.ledger.called('b');
    await fleet.checkpointRedis.restore();
    fleet.ledger.release('b');
    // Its question is gone; the thread is not.
    await client.answer(asked, 'yes').then((answer) => client.outcome(answer as Acknowledged));
    forget(client, ...lost, asked);
    forget(client, ...client.acknowledged.filter((run) => run.graph === 'answer'));
    for (const thread of [...threads, 'parked']) await client.submit('echo', thread, 'after');
    await client.settled();
    // The steps of the run at work are gone with their checkpoints, and done again.
    expect(await check(fleet, client.acknowledged, { steps, repeats: 2 })).toEqual([]);
  });

  it('that one alone goes back while a run is at work: it does not build on steps that are gone', async () => {
    const { fleet, client } = await start({
      checkpointRedis: true,
      gateways: 1,
      workers: 1,
      env: { CRASH_BUDGET: '0' },
    });
    fleet.ledger.hold('two');
    const run = await client.submit('parts', 'parts', 'n');
    await fleet.ledger.called('two');
    await fleet.checkpointRedis.snapshot();
    fleet.ledger.hold('three');
    fleet.ledger.release('two');
    await fleet.ledger.called('three');
    await fleet.checkpointRedis.restore();
    fleet.ledger.release('three');
    await client.outcome(run);
    expect(await valuesOf(fleet, 'parts')).toMatchObject({ one: 'n', two: 'n', three: 'n' });
  });

  it('the other one alone goes back: what the checkpoints show as done is not done again', async () => {
    const { fleet, client } = await start({ checkpointRedis: true, gateways: 1, workers: 0 });
    await (await fleet.startWorker()).end('SIGTERM');
    fleet.workers.length = 0;
    await client.submit('chain', 'waiting', 'n');
    await fleet.redis.snapshot();
    await fleet.startWorker();
    await client.settled();
    await fleet.redis.restore();
    await client.settled();
    await client.outcome(await client.submit('echo', 'waiting', 'after'));
    expect(await check(fleet, client.acknowledged, { steps })).toEqual([]);
  });
});
