import { Hono } from 'hono';
import { z } from 'zod';
import { readJson } from '../http/body.ts';
import type { HttpEnv } from '../http/env.ts';
import type { Services } from '../services.ts';
import { getRun } from '../use-cases/runs.ts';
import { flag, readQuery, readStreamModes } from '../wire/query.ts';
import { runBody, toRunOrder } from '../wire/run-body.ts';
import { toWireRun } from '../wire/run-json.ts';
import { acceptRun, runHeaders } from './runs-accept.ts';
import { answerOutcome, answerStream } from './runs-answer.ts';

const batchBody = z.array(runBody).min(1, 'give at least one run').max(100, 'give at most 100 runs');
const joinQuery = z.object({ cancel_on_disconnect: flag.optional() });

/** Runs without a thread: each gets one of its own, which goes with it unless `on_completion` is `keep`. */
export function statelessRunRoutes(services: Services, { drain }: { drain: AbortSignal }): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();

  app.post('/runs', async (c) => {
    const body = await readJson(c, runBody);
    const accepted = await acceptRun(c, services, body, { defaultModes: ['values'] });
    const run = await getRun(services, c.get('tenant'), accepted.runId);
    return c.json(toWireRun(run, body.multitask_strategy ?? 'enqueue'), 200, runHeaders(accepted));
  });

  app.post('/runs/stream', async (c) => {
    const body = await readJson(c, runBody);
    const { runId } = await acceptRun(c, services, body, { defaultModes: ['values'] });
    const run = await getRun(services, c.get('tenant'), runId);
    return answerStream(c, services, run, { drain, cancelOnDisconnect: body.on_disconnect === 'cancel' });
  });

  app.post('/runs/wait', async (c) => {
    const body = await readJson(c, runBody);
    const { runId } = await acceptRun(c, services, body, { defaultModes: [] });
    const run = await getRun(services, c.get('tenant'), runId);
    return answerOutcome(c, services, run, { drain, cancelOnDisconnect: body.on_disconnect === 'cancel' });
  });

  app.post('/runs/batch', async (c) => {
    const bodies = await readJson(c, batchBody);
    const tenant = c.get('tenant');
    // What can be refused is refused before the first run is accepted.
    for (const body of bodies) {
      toRunOrder(body, []);
      await services.catalog.resolve(body.assistant_id, 'assistant_id');
    }
    const batch = { size: bodies.length };
    const runs = await Promise.all(
      bodies.map(async (body, index) => {
        const options = {
          defaultModes: ['values' as const],
          keySuffix: `/${index}`,
          batch,
        };
        const { runId } = await acceptRun(c, services, body, options);
        return toWireRun(await getRun(services, tenant, runId), body.multitask_strategy ?? 'enqueue');
      }),
    );
    return c.json(runs);
  });

  app.get('/runs/:run_id/stream', async (c) => {
    const { cancel_on_disconnect } = readQuery(c, joinQuery);
    const modes = readStreamModes(c);
    const run = await getRun(services, c.get('tenant'), c.req.param('run_id'));
    return answerStream(c, services, run, {
      drain,
      cancelOnDisconnect: cancel_on_disconnect ?? false,
      modes,
    });
  });

  return app;
}
