import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { makeRelease, type Release } from '../graphs/release.ts';
import { generations } from '../mcp-client.ts';
import { events, type SseEvent } from '../sse-events.ts';
import { check } from './checker.ts';
import { Fleet } from './fleet.ts';
import { type Acknowledged, LoadClient } from './load.ts';

/** A new release that takes over from the old one, process by process, under load. */

const steps = { chain: ['a', 'b', 'c'], siblings: ['x', 'y', 'z', 'join'], echo: ['echo'] };

let fleet: Fleet | undefined;
let release: Release | undefined;

afterEach(async () => {
  const codes = await fleet?.stop();
  await release?.remove();
  fleet = undefined;
  release = undefined;
  expect(codes?.filter((code) => code !== 0) ?? []).toEqual([]);
});

/** All events of a run, by as many streams, from any gateways, as it takes. */
async function follow(
  { gateways }: Fleet,
  { runId }: Acknowledged,
): Promise<{ seen: SseEvent[]; streams: number }> {
  const seen: SseEvent[] = [];
  for (let streams = 1; ; streams++) {
    const gateway = gateways[Math.floor(Math.random() * gateways.length)];
    const last = seen.at(-1)?.id;
    const headers = { Accept: 'text/event-stream', ...(last !== undefined && { 'Last-Event-ID': last }) };
    try {
      const response = await fetch(`${gateway?.url}/message/${runId}`, { headers });
      // A gateway that is leaving says so; the stream of one that has left is cut, or ends early.
      if (response.ok) for await (const event of events(response)) seen.push(event);
    } catch {
      await sleep(50);
    }
    if (seen.at(-1)?.name === 'end') return { seen, streams };
  }
}

interface Shown {
  description: string;
  assistants: string;
  tools: string;
}

/** What each gateway shows of the graphs, until told to stop; where that changed, once more. */
async function watchCatalog(fleet: Fleet, stop: AbortSignal): Promise<Map<string, Shown[]>> {
  const shown = new Map<string, Shown[]>();
  while (!stop.aborted) {
    for (const { url } of [...fleet.gateways]) {
      const look = await lookAt(url).catch(() => undefined);
      const looks = shown.get(url) ?? [];
      shown.set(url, looks);
      if (look && JSON.stringify(look) !== JSON.stringify(looks.at(-1))) looks.push(look);
    }
    await sleep(200);
  }
  return shown;
}

async function lookAt(url: string): Promise<Shown> {
  const response = await fetch(`${url}/assistants/search`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"limit":100}',
  });
  const assistants = (await response.json()) as { graph_id: string; description: string }[];
  const mcp = await generations[1]?.connect((_, init) => fetch(`${url}/mcp`, init), {});
  const tools = (await mcp?.toolNames()) ?? [];
  await mcp?.close();
  return {
    description: assistants.find((one) => one.graph_id === 'chain')?.description ?? '',
    assistants: assistants.map((one) => one.graph_id).join(),
    tools: tools.join(),
  };
}

it('loses, repeats and mixes up nothing, and the graphs change once', async () => {
  const started = await Fleet.start({ env: { LEASE_SECONDS: '1' } });
  fleet = started;
  release = await makeRelease({ 'Three steps in a row.': 'Three steps in a row, anew.' });
  const next = { LANGGRAPH_CONFIG: release.config };
  const client = new LoadClient(started);
  const watching = new AbortController();
  const catalog = watchCatalog(started, watching.signal);

  started.ledger.hold('join');
  const watched = await Promise.all(
    Array.from({ length: 4 }, (_, i) => client.submit('siblings', `watched-${i}`, 'w')),
  );
  await started.ledger.called('join', 4);
  const following = watched.map((run) => follow(started, run));
  const rolled = new AbortController();
  const lanes = ['chain', 'chain', 'echo', 'echo'].map(async (graph, lane) => {
    const sender = new LoadClient(started);
    for (let n = 0; !rolled.signal.aborted; n++) {
      // Threads of its own, so that what it sends to a thread is in order.
      await sender.outcome(await sender.submit(graph, `lane-${lane}-${n % 3}`, `n${n}`));
    }
    return sender;
  });

  const old = { gateways: [...started.gateways], workers: [...started.workers] };
  await Promise.all([0, 1].flatMap(() => [started.startGateway(), started.startWorker(next)]));
  for (const gateway of old.gateways) expect(await started.leave(gateway)).toBe(0);
  started.ledger.release('join');
  for (const worker of old.workers) expect(await started.leave(worker)).toBe(0);
  // One of the old release starts anew, as where a machine is lost in the middle of it.
  const late = await started.startWorker();
  expect(await started.leave(late)).toBe(0);
  rolled.abort();
  const clients = [client, ...(await Promise.all(lanes))];
  await Promise.all(watched.map((run) => client.outcome(run)));
  watching.abort();

  const streams = await Promise.all(following);
  for (const [i, { seen }] of streams.entries()) {
    const whole = await follow(started, watched[i] as Acknowledged);
    expect(seen).toEqual(whole.seen);
  }
  expect(Math.min(...streams.map((one) => one.streams))).toBeGreaterThan(1);
  expect(clients.flatMap((each) => [...each.putOff]).filter((status) => status !== 503)).toEqual([]);
  const shown = [...(await catalog).values()];
  const [before, after] = ['Three steps in a row.', 'Three steps in a row, anew.'];
  for (const looks of shown) {
    // A gateway can have come, or gone, before anybody looked at it.
    expect([[], [before], [after], [before, after]]).toContainEqual(looks.map((one) => one.description));
  }
  expect(new Set(shown.flat().map((one) => one.description))).toEqual(new Set([before, after]));
  expect(new Set(shown.flat().map((one) => `${one.assistants} ${one.tools}`)).size).toBe(1);
  const acknowledged = clients.flatMap((each) => each.acknowledged);
  expect(await check(started, acknowledged, { steps })).toEqual([]);
}, 240_000);
