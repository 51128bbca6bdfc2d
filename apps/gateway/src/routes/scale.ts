import { Hono } from 'hono';
import { z } from 'zod';
import type { HttpEnv } from '../http/env.ts';
import type { Services } from '../services.ts';
import { type Scale, scaleOf } from '../use-cases/scale.ts';
import { readQuery } from '../wire/query.ts';

const count = z
  .string()
  .regex(/^\d{1,6}$/, 'give a whole number')
  .transform(Number);

const query = z
  .object({
    target_wait_seconds: z
      .string()
      .regex(/^\d{1,6}(\.\d{1,3})?$/, 'give a number of seconds')
      .transform(Number)
      .default(30),
    concurrency: count.refine((value) => value > 0, 'give 1 or more').optional(),
    min: count.default(0),
    max: count.optional(),
  })
  .refine(({ min, max }) => max === undefined || min <= max, {
    path: ['min'],
    message: 'must not be more than max',
  });

/** `/scale/{queue}`: what an autoscaler asks; KEDA's metrics-api scaler reads one field of it. */
export function scaleRoutes(services: Services): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.get('/scale/:queue', async (c) => {
    const queue = c.req.param('queue');
    const { target_wait_seconds, concurrency, min, max = Number.POSITIVE_INFINITY } = readQuery(c, query);
    const scale = await scaleOf(services, queue, {
      targetWaitSeconds: target_wait_seconds,
      concurrency,
      min,
      max,
    });
    c.header('Cache-Control', 'no-store');
    return c.json(toJson(queue, target_wait_seconds, scale));
  });
  return app;
}

function toJson(queue: string, targetWaitSeconds: number, scale: Scale) {
  const { demand } = scale;
  return {
    queue,
    demand: demand.demand,
    waiting: demand.waiting,
    active: demand.active,
    unrung: demand.unrung,
    oldest_wait_seconds: demand.oldestWaitSeconds,
    concurrency: scale.concurrency,
    average_run_seconds: scale.runSeconds ?? null,
    target_wait_seconds: targetWaitSeconds,
    desired_replicas: scale.desired,
    desired_replicas_slo: scale.desiredForWait,
  };
}
