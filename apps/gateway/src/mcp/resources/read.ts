import { Refusal } from '@millrace/shared/contract/error';
import { eventId, type RunEvent } from '@millrace/shared/contract/event';
import { hasEnded, type RunRecord } from '@millrace/shared/contract/run';
import { toWireJson } from '@millrace/shared/wire-json';
import { type ReadResourceResult, ResourceNotFoundError } from '@modelcontextprotocol/server';
import type { Services } from '../../services.ts';
import { getRun } from '../../use-cases/runs.ts';
import { getHead } from '../../use-cases/state.ts';
import { getThread } from '../../use-cases/threads.ts';
import { runResult } from '../run-result.ts';
import { chainStandingOf } from './chain-standing.ts';
import { parseResourceUri, type ResourceRef, resourceTemplates } from './uri.ts';

/** What ended stays as it is; it may be removed when its time is over. */
const ENDED_TTL_MS = 60_000;
/** Of events in one answer; who wants more asks with `after`. */
const EVENTS_BYTES = 1024 * 1024;

/**
 * A resource as JSON.
 *
 * @throws ResourceNotFoundError (-32602, in every revision), also for what is another tenant's
 */
export async function readResource(
  services: Services,
  tenant: string,
  uri: string,
): Promise<ReadResourceResult & { ttlMs: number; cacheScope: 'private' }> {
  const ref = parseResourceUri(uri);
  if (!ref) {
    const known = resourceTemplates.map((one) => one.uriTemplate).join(', ');
    throw new ResourceNotFoundError(uri, `There is no resource "${uri}"; there are: ${known}`);
  }
  try {
    const { text, final } = await read(services, tenant, ref);
    return {
      contents: [{ uri, mimeType: 'application/json', text }],
      ttlMs: final ? ENDED_TTL_MS : 0,
      cacheScope: 'private',
    };
  } catch (error) {
    if (!(error instanceof Refusal && error.code === 'not_found')) throw error;
    throw new ResourceNotFoundError(uri, error.message);
  }
}

interface Reading {
  text: string;
  /** It will not change any more. */
  final: boolean;
}

function read(services: Services, tenant: string, ref: ResourceRef): Promise<Reading> {
  switch (ref.kind) {
    case 'run':
      return readRun(services, tenant, ref.id);
    case 'events':
      return readEvents(services, tenant, ref.id, ref.after);
    case 'thread':
      return readThread(services, tenant, ref.id);
  }
}

async function readRun(services: Services, tenant: string, id: string): Promise<Reading> {
  const run = await getRun(services, tenant, id);
  const { closed, followedBy } = await chainStandingOf(services, run);
  // Of its message the words.
  const { structuredContent } = await runResult(services, { run: { ...run, media: false }, closed });
  const { questions, ...output } = structuredContent as Record<string, unknown>;
  const text = JSON.stringify({
    ...output,
    graph: run.request.graph,
    attempt: run.attempt,
    ...timesOf(run),
    // What was answered is asked no more.
    ...(followedBy === undefined ? questions !== undefined && { questions } : { followed_by: followedBy }),
    ...(closed !== undefined && { closed }),
  });
  return { text, final: hasEnded(run.status) && run.status !== 'interrupted' };
}

function timesOf({ createdAt, startedAt, endedAt }: RunRecord): Record<string, string> {
  const iso = (ms: number) => new Date(ms).toISOString();
  return {
    created_at: iso(createdAt),
    ...(startedAt !== undefined && { started_at: iso(startedAt) }),
    ...(endedAt !== undefined && { ended_at: iso(endedAt) }),
  };
}

async function readEvents(
  services: Services,
  tenant: string,
  id: string,
  after: Pick<RunEvent, 'seq' | 'token'> | undefined,
): Promise<Reading> {
  const run = await getRun(services, tenant, id);
  const { events, more } = await services.events.soFar(id, { after, maxBytes: EVENTS_BYTES });
  const last = events.at(-1);
  const ended = !more && (last ? last.name === 'end' : hasEnded(run.status));
  const shown = events.map(
    (one) => `{"id":"${eventId(one)}","event":${JSON.stringify(one.name)},"data":${one.data}}`,
  );
  const lastId = last ? eventId(last) : after && eventId(after);
  const about = { run_id: id, ended, more, ...(lastId !== undefined && { last_id: lastId }) };
  return { text: `${JSON.stringify(about).slice(0, -1)},"events":[${shown.join(',')}]}`, final: ended };
}

async function readThread(services: Services, tenant: string, id: string): Promise<Reading> {
  const record = await getThread(services, tenant, id);
  const values = (await getHead(services, record))?.values ?? {};
  const { messages } = values;
  const text = toWireJson({
    thread_id: id,
    status: record.status,
    ...(record.metadata.graph_id !== undefined && { graph: record.metadata.graph_id }),
    created_at: new Date(record.createdAt).toISOString(),
    updated_at: new Date(record.updatedAt).toISOString(),
    ...(Array.isArray(messages) ? { messages } : { values }),
  });
  return { text, final: false };
}
