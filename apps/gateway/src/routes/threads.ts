import { Refusal } from '@millrace/shared/contract/error';
import type { ThreadRecord } from '@millrace/shared/contract/thread';
import type { Context } from 'hono';
import { Hono } from 'hono';
import { z } from 'zod';
import { readJson } from '../http/body.ts';
import type { HttpEnv } from '../http/env.ts';
import type { Services } from '../services.ts';
import { getHead } from '../use-cases/state.ts';
import { createThread, deleteThread, getThread, updateThread } from '../use-cases/threads.ts';
import { object, threadId } from '../wire/fields.ts';
import { jsonText } from '../wire/json-response.ts';
import { readIdempotencyKey, readParam } from '../wire/query.ts';
import { STATE_BEHIND } from '../wire/state-json.ts';
import { threadText } from '../wire/thread-json.ts';
import { decline } from './declined.ts';
import { threadStateRoutes } from './threads-state.ts';

const createBody = z.object({
  thread_id: threadId.nullish(),
  metadata: object.nullish(),
  if_exists: z.enum(['raise', 'do_nothing']).nullish(),
  supersteps: z.array(z.unknown()).nullish(),
  ttl: z.unknown().optional(),
});
const patchBody = z.object({ metadata: object.nullish(), ttl: z.unknown().optional() });

/** Threads, as the LangGraph Agent Server serves them. */
export function threadRoutes(services: Services, options: { drain: AbortSignal }): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.route('/', threadStateRoutes(services, options));

  app.post('/threads', async (c) => {
    const body = await readJson(c, createBody);
    refuseTtl(body.ttl);
    if (body.supersteps && body.supersteps.length > 0) {
      throw new Refusal('unsupported', 'supersteps are not served; make the thread, then edit its state', {
        field: 'supersteps',
      });
    }
    const record = await createThread(services, c.get('tenant'), {
      thread: body.thread_id ?? undefined,
      metadata: body.metadata ?? undefined,
      ifExists: body.if_exists ?? 'raise',
      idempotencyKey: readIdempotencyKey(c),
    });
    return answerThread(c, services, record);
  });

  app.get('/threads/:thread_id', async (c) => {
    const thread = readParam(c, 'thread_id', threadId);
    return answerThread(c, services, await getThread(services, c.get('tenant'), thread));
  });

  app.patch('/threads/:thread_id', async (c) => {
    const thread = readParam(c, 'thread_id', threadId);
    const body = await readJson(c, patchBody);
    refuseTtl(body.ttl);
    const record = await updateThread(services, c.get('tenant'), thread, body.metadata ?? {});
    if (c.req.header('Prefer')?.includes('return=minimal')) return c.body(null, 204);
    return answerThread(c, services, record);
  });

  app.delete('/threads/:thread_id', async (c) => {
    await deleteThread(services, c.get('tenant'), readParam(c, 'thread_id', threadId));
    return c.body(null, 204);
  });

  const noIndex = 'There is no index of threads to search; keep the ids of yours';
  decline(app, {
    'POST /threads/search': noIndex,
    'POST /threads/count': noIndex,
    'POST /threads/prune': 'Delete threads one by one; they also expire',
    'POST /threads/:thread_id/copy': 'Threads are not copied; run from one of its checkpoints instead',
    'GET /threads/:thread_id/stream': 'A thread has no stream of its own; join those of its runs',
  });
  return app;
}

async function answerThread(c: Context<HttpEnv>, services: Services, record: ThreadRecord) {
  const head = await getHead(services, record);
  return jsonText(c, threadText(record, head), head && !head.described ? STATE_BEHIND : {});
}

/** Whoever asks for data to be gone at a time must not be told that it will be. */
function refuseTtl(ttl: unknown): void {
  if (ttl == null) return;
  throw new Refusal('unsupported', 'ttl is not served for single threads; all expire as the server is set', {
    field: 'ttl',
  });
}
