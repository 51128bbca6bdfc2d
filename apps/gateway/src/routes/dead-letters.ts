import { Refusal } from '@millrace/shared/contract/error';
import type { RunRecord } from '@millrace/shared/contract/run';
import type { Place } from '@millrace/shared/tenant-list';
import { Hono } from 'hono';
import { z } from 'zod';
import type { HttpEnv } from '../http/env.ts';
import type { Services } from '../services.ts';
import { listDeadLetters, rerun } from '../use-cases/dead-letters.ts';
import { cursorOf, placeOf } from '../wire/cursor.ts';
import { page, readQuery } from '../wire/query.ts';

const listQuery = z.object({ limit: page.limit, cursor: z.string().optional() });

/** Runs that failed for a reason that is not their own, and how to run them again. */
export function deadLetterRoutes(services: Services): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();

  app.get('/dead-letters', async (c) => {
    const { limit, cursor } = readQuery(c, listQuery);
    const after = cursor === undefined ? undefined : readPlace(cursor);
    const { items, next } = await listDeadLetters(services, c.get('tenant'), { limit, after });
    return c.json({ dead_letters: items.map(toWire), next_cursor: next ? cursorOf(next) : null });
  });

  app.post('/dead-letters/:run_id/rerun', async (c) => {
    const run = await rerun(services, c.get('tenant'), c.req.param('run_id'), {
      requestId: c.get('requestId'),
      span: c.get('span'),
    });
    c.header('Location', `/message/${run.id}`);
    return c.json({ run_id: run.id, thread_id: run.thread, status: run.status }, 202);
  });
  return app;
}

function toWire(run: RunRecord): object {
  return {
    run_id: run.id,
    thread_id: run.thread,
    graph_id: run.request.graph,
    assistant_id: run.request.assistantId,
    error: { code: run.error?.code, message: run.error?.message },
    attempts: run.attempt,
    created_at: new Date(run.createdAt).toISOString(),
    ended_at: new Date(run.endedAt ?? run.updatedAt).toISOString(),
    metadata: run.request.metadata ?? {},
  };
}

function readPlace(cursor: string): Place {
  const place = placeOf(cursor);
  if (place) return place;
  throw new Refusal('invalid_request', 'cursor: give next_cursor of the page before, or leave it out', {
    field: 'cursor',
  });
}
