import { Refusal } from '@millrace/shared/contract/error';
import { isFinal, type RunRecord } from '@millrace/shared/contract/run';
import type { CancelAction } from '@millrace/shared/run-moves';
import type { Context } from 'hono';
import { Hono } from 'hono';
import { z } from 'zod';
import { readJson } from '../http/body.ts';
import { conditionalJson } from '../http/conditional.ts';
import type { HttpEnv } from '../http/env.ts';
import { whileWanted } from '../http/patience.ts';
import type { Services } from '../services.ts';
import {
  cancelRun,
  getRun,
  LONGEST_WAIT_MS,
  listRuns,
  outcomeOf,
  rollBackRun,
  waitForRun,
} from '../use-cases/runs.ts';
import { getThread } from '../use-cases/threads.ts';
import { threadId } from '../wire/fields.ts';
import { pick } from '../wire/json-response.ts';
import { outcomeText } from '../wire/outcome-json.ts';
import { flag, page, readParam, readQuery, readStreamModes } from '../wire/query.ts';
import { runBody } from '../wire/run-body.ts';
import { toWireRun, wireRunStatuses, wireStatus } from '../wire/run-json.ts';
import { decline } from './declined.ts';
import { acceptRun, runHeaders } from './runs-accept.ts';
import { answerOutcome, answerStream } from './runs-answer.ts';
import { statelessRunRoutes } from './runs-stateless.ts';

const listQuery = z.object({ ...page, status: z.enum(wireRunStatuses).optional() });
const joinQuery = z.object({ cancel_on_disconnect: flag.optional() });
const cancelQuery = z.object({
  wait: flag.optional(),
  action: z.enum(['interrupt', 'rollback']).default('interrupt'),
});

/** Runs, as the LangGraph Agent Server serves them. */
export function runRoutes(services: Services, options: { drain: AbortSignal }): Hono<HttpEnv> {
  const { drain } = options;
  const app = new Hono<HttpEnv>();
  app.route('/', statelessRunRoutes(services, options));

  app.post('/threads/:thread_id/runs', async (c) => {
    const thread = readParam(c, 'thread_id', threadId);
    const body = await readJson(c, runBody);
    const accepted = await acceptRun(c, services, body, { thread, defaultModes: ['values'] });
    const run = await getRun(services, c.get('tenant'), accepted.runId);
    return c.json(toWireRun(run, body.multitask_strategy ?? 'enqueue'), 200, runHeaders(accepted));
  });

  app.post('/threads/:thread_id/runs/stream', async (c) => {
    const thread = readParam(c, 'thread_id', threadId);
    const body = await readJson(c, runBody);
    const { runId } = await acceptRun(c, services, body, { thread, defaultModes: ['values'] });
    const run = await getRun(services, c.get('tenant'), runId);
    return answerStream(c, services, run, { drain, cancelOnDisconnect: body.on_disconnect === 'cancel' });
  });

  app.post('/threads/:thread_id/runs/wait', async (c) => {
    const thread = readParam(c, 'thread_id', threadId);
    const body = await readJson(c, runBody);
    // Nobody reads this run's events unless the body says so; the outcome comes from its checkpoint.
    const { runId } = await acceptRun(c, services, body, { thread, defaultModes: [] });
    const run = await getRun(services, c.get('tenant'), runId);
    return answerOutcome(c, services, run, { drain, cancelOnDisconnect: body.on_disconnect === 'cancel' });
  });

  app.get('/threads/:thread_id/runs', async (c) => {
    const thread = readParam(c, 'thread_id', threadId);
    const { limit, offset, status } = readQuery(c, listQuery);
    const tenant = c.get('tenant');
    await getThread(services, tenant, thread);
    const runs = await listRuns(services, tenant, thread, {
      limit,
      offset,
      ...(status !== undefined && { where: (run) => wireStatus(run) === status }),
    });
    return c.json(runs.map((run) => pick(toWireRun(run), c.req.queries('select'))));
  });

  app.get('/threads/:thread_id/runs/:run_id', async (c) => {
    const run = await runOf(c, services);
    // As on the Agent Server, where it is deleted; who follows it may still come back to its stream.
    if (run.rolledBack)
      throw new Refusal('not_found', `The run "${run.id}" was rolled back`, { field: 'run_id' });
    return conditionalJson(c, JSON.stringify(toWireRun(run)), { final: isFinal(run.status) });
  });

  app.get('/threads/:thread_id/runs/:run_id/join', async (c) => {
    const { cancel_on_disconnect } = readQuery(c, joinQuery);
    const run = await runOf(c, services);
    if (isFinal(run.status)) {
      return conditionalJson(c, outcomeText(run, await outcomeOf(services, run)), {
        final: true,
        headers: runHeaders({ thread: run.thread, runId: run.id }),
      });
    }
    return answerOutcome(c, services, run, { drain, cancelOnDisconnect: cancel_on_disconnect ?? false });
  });

  app.get('/threads/:thread_id/runs/:run_id/stream', async (c) => {
    const { cancel_on_disconnect } = readQuery(c, joinQuery);
    const modes = readStreamModes(c);
    const run = await runOf(c, services);
    return answerStream(c, services, run, {
      drain,
      cancelOnDisconnect: cancel_on_disconnect ?? false,
      modes,
    });
  });

  app.post('/threads/:thread_id/runs/:run_id/cancel', async (c) => {
    const { wait, action } = readQuery(c, cancelQuery);
    const run = await runOf(c, services);
    const turn = await stopRun(services, run, action);
    if (!wait) return c.body(null, 202);
    await whileWanted(c, drain, async (signal) => {
      const options = { timeoutMs: LONGEST_WAIT_MS, signal };
      await waitForRun(services, run.tenant, run.id, options);
      if (turn !== undefined) await waitForRun(services, run.tenant, turn, options);
    });
    if (drain.aborted)
      throw new Refusal('unavailable', 'This server is going away; the run was asked to stop');
    return c.body(null, 204);
  });

  const cancelManyBody = z.object({
    thread_id: threadId,
    run_ids: z.array(z.string()).min(1, 'name the runs').max(100, 'name at most 100'),
  });
  app.post('/runs/cancel', async (c) => {
    const { action } = readQuery(c, cancelQuery);
    const body = await readJson(c, cancelManyBody);
    const tenant = c.get('tenant');
    await getThread(services, tenant, body.thread_id);
    const runs = await Promise.all(body.run_ids.map((id) => getRun(services, tenant, id, body.thread_id)));
    await Promise.all(runs.map((run) => stopRun(services, run, action)));
    return c.body(null, 204);
  });

  decline(app, {
    'DELETE /threads/:thread_id/runs/:run_id':
      'Single runs are not deleted: they expire, and go with their thread',
  });
  return app;
}

/** @throws Refusal `not_found`, also when the thread is being deleted */
async function runOf(c: Context<HttpEnv>, services: Services): Promise<RunRecord> {
  const thread = readParam(c, 'thread_id', threadId);
  await getThread(services, c.get('tenant'), thread);
  return getRun(services, c.get('tenant'), c.req.param('run_id') ?? '', thread);
}

/** @returns the turn that takes back what the run wrote, if any does */
async function stopRun(
  services: Services,
  run: RunRecord,
  action: CancelAction,
): Promise<string | undefined> {
  if (action === 'rollback') return rollBackRun(services, run.tenant, run.id);
  await cancelRun(services, run.tenant, run.id);
  return undefined;
}
