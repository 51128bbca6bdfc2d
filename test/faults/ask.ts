import { setTimeout as sleep } from 'node:timers/promises';
import { events, type SseEvent } from '../sse-events.ts';
import type { Fleet, FleetRedis } from './fleet.ts';
import type { Acknowledged } from './load.ts';

export const pathOf = ({ thread, runId }: Acknowledged) => `/threads/${thread}/runs/${runId}`;

/** Asks the first gateway until it has Redis. */
export async function get(
  { gateways }: Fleet<FleetRedis>,
  path: string,
  headers: Record<string, string> = {},
): Promise<Response> {
  for (;;) {
    const response = await fetch(`${gateways[0]?.url}${path}`, { headers });
    if (response.status !== 503) return response;
    await response.body?.cancel();
    await sleep(50);
  }
}

/** The stream of a run that has ended, from the start or after an id. */
export async function streamOf(
  fleet: Fleet<FleetRedis>,
  run: Acknowledged,
  lastEventId?: string,
): Promise<SseEvent[]> {
  const headers = lastEventId === undefined ? {} : { 'Last-Event-ID': lastEventId };
  const all: SseEvent[] = [];
  for await (const event of events(await get(fleet, `${pathOf(run)}/stream`, headers))) all.push(event);
  return all;
}
