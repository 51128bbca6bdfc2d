import type { CatalogEntry } from '@millrace/shared/contract/catalog';
import { Refusal } from '@millrace/shared/contract/error';
import { eventId, type RunEvent } from '@millrace/shared/contract/event';
import { hasEnded, isFinal, type RunRecord } from '@millrace/shared/contract/run';
import { isRedisFault } from '@millrace/shared/redis-fault';
import { toWireJson } from '@millrace/shared/wire-json';
import { type Context, Hono } from 'hono';
import { readJson } from '../http/body.ts';
import { conditionalJson } from '../http/conditional.ts';
import type { HttpEnv } from '../http/env.ts';
import { whileWanted } from '../http/patience.ts';
import { secondsOf, type Wait, waitOf } from '../http/prefer.ts';
import { type SseEvent, streamEvents } from '../http/sse.ts';
import type { Services } from '../services.ts';
import { cancelRun, followRun, getRun, waitForRun } from '../use-cases/runs.ts';
import { submitRun } from '../use-cases/submit-run.ts';
import { type MessageBody, type MessageView, messageBody, viewOf } from './message-wire.ts';

export interface MessageOptions {
  /** Aborts when the gateway leaves. */
  drain: AbortSignal;
  /** How long a POST waits unless told, and how long anything waits at most, in milliseconds. */
  waitMs: number;
  maxWaitMs: number;
}

const POLL_SECONDS = '1';

/** `/message`: the short form, for curl and for scripts. */
export function messageRoutes(services: Services, options: MessageOptions): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  const { drain } = options;

  app.post('/message', async (c) => {
    const wait = waitOf(c.req.header('Prefer'), { defaultMs: options.waitMs, maxMs: options.maxWaitMs });
    const body = await readJson(c, messageBody);
    const { runId, thread } = await submitRun(services, await orderOf(c, services, body));
    c.header('Location', `/message/${runId}`);
    if (wantsStream(c)) return streamRun(c, services, runId, drain);
    try {
      return await answer(c, services, await settled(c, runId, wait), wait);
    } catch (error) {
      if (!isRedisFault(error)) throw error;
      // Accepted is accepted: a 503 would have it sent again.
      c.header('Retry-After', POLL_SECONDS);
      return c.json({ thread_id: thread, run_id: runId, status: 'queued' } satisfies MessageView, 202);
    }
  });

  app.get('/message/:run_id', async (c) => {
    const runId = c.req.param('run_id');
    const wait = pollWait(c);
    const { id } = await getRun(services, c.get('tenant'), runId);
    if (wantsStream(c)) return streamRun(c, services, id, drain);
    const run = await settled(c, id, wait);
    if (!hasEnded(run.status)) c.header('Retry-After', POLL_SECONDS);
    if (wait.applied !== undefined) c.header('Preference-Applied', wait.applied);
    return conditionalJson(c, toWireJson(await viewOf(services, run)), { final: isFinal(run.status) });
  });

  app.delete('/message/:run_id', async (c) => {
    return answer(c, services, await cancelRun(services, c.get('tenant'), c.req.param('run_id')), { ms: 0 });
  });

  function pollWait(c: Context<HttpEnv>): Wait {
    const query = c.req.query('wait');
    if (query !== undefined) return { ms: secondsOf(query, 'wait', options.maxWaitMs) };
    return waitOf(c.req.header('Prefer'), { defaultMs: 0, maxMs: options.maxWaitMs });
  }

  function settled(c: Context<HttpEnv>, runId: string, wait: Wait): Promise<RunRecord> {
    const tenant = c.get('tenant');
    if (wait.ms === 0) return getRun(services, tenant, runId);
    return whileWanted(c, drain, (signal) =>
      waitForRun(services, tenant, runId, { timeoutMs: wait.ms, signal }),
    );
  }

  return app;
}

/** 200 when the run has ended, however it ended; otherwise 202 and where to look later. */
async function answer(
  c: Context<HttpEnv>,
  services: Services,
  run: RunRecord,
  wait: Wait,
): Promise<Response> {
  if (wait.applied !== undefined) c.header('Preference-Applied', wait.applied);
  const ended = hasEnded(run.status);
  if (!ended) {
    c.header('Location', `/message/${run.id}`);
    c.header('Retry-After', POLL_SECONDS);
  }
  return c.body(toWireJson(await viewOf(services, run)), ended ? 200 : 202, {
    'Content-Type': 'application/json',
  });
}

async function orderOf(c: Context<HttpEnv>, services: Services, body: MessageBody) {
  const tenant = c.get('tenant');
  const graph = await graphOf(services, tenant, body);
  const key = c.req.header('Idempotency-Key');
  if (key !== undefined && !/^[\x20-\x7e]{1,255}$/.test(key)) {
    throw new Refusal('invalid_request', 'Idempotency-Key: must be 1 to 255 printable ASCII characters', {
      field: 'Idempotency-Key',
    });
  }
  const input = graph.conversational
    ? { messages: [{ role: 'user', content: body.query ?? '' }] }
    : { query: body.query ?? '' };
  return {
    tenant,
    requestId: c.get('requestId'),
    span: c.get('span'),
    assistant: graph.graph,
    thread: body.thread_id,
    // An answer to a thread that is not there is a mistake, not a beginning.
    createThread: body.command === undefined,
    ...(body.command === undefined ? { input } : { command: { resume: body.command.resume } }),
    streamModes: ['messages-tuple' as const, 'updates' as const],
    ...(key !== undefined && { idempotency: { key, body } }),
  };
}

/** The graph that is asked for, else the one the thread is about, else the default one. */
async function graphOf(services: Services, tenant: string, body: MessageBody): Promise<CatalogEntry> {
  if (body.graph !== undefined) return services.catalog.resolve(body.graph, 'graph');
  const thread =
    body.thread_id === undefined ? undefined : await services.store.read.thread(tenant, body.thread_id);
  const ofThread = thread?.metadata.graph_id;
  const known = (await services.catalog.list()).find((one) => one.graph === ofThread);
  return known ?? services.catalog.resolve(await services.catalog.defaultGraph(), 'graph');
}

function wantsStream(c: Context<HttpEnv>): boolean {
  return /(^|[\s,])text\/event-stream\b/i.test(c.req.header('Accept') ?? '');
}

function streamRun(c: Context<HttpEnv>, services: Services, runId: string, drain: AbortSignal): Response {
  const gone = new AbortController();
  // Before the stream begins, so that a bad id is refused with a problem document.
  const events = followRun(services, runId, {
    lastEventId: c.req.header('Last-Event-ID'),
    signal: gone.signal,
  });
  const source = (signal: AbortSignal) => {
    signal.addEventListener('abort', () => gone.abort(), { once: true });
    return toSse(events);
  };
  return streamEvents(c, source, { drain, headers: { 'Content-Location': `/message/${runId}` } });
}

async function* toSse(events: AsyncIterable<RunEvent>): AsyncGenerator<SseEvent, void> {
  for await (const event of events) {
    // A gap is the reader's own and has no place in the stream to come back to.
    const id = event.name === 'gap' ? {} : { id: eventId(event) };
    yield { ...id, event: event.name, data: event.data };
  }
}
