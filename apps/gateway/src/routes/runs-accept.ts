import { Refusal } from '@millrace/shared/contract/error';
import type { StreamMode } from '@millrace/shared/contract/stream-mode';
import type { Context } from 'hono';
import type { HttpEnv } from '../http/env.ts';
import type { Services } from '../services.ts';
import type { Batch } from '../use-cases/admit.ts';
import { requireCheckpoint } from '../use-cases/state.ts';
import { type AcceptedRun, submitRun } from '../use-cases/submit-run.ts';
import { readIdempotencyKey } from '../wire/query.ts';
import { type RunBody, toRunOrder } from '../wire/run-body.ts';

/** The Agent Server of LangGraph.js answers 422 here, and its clients do not ask again. */
class RunRejected extends Refusal {
  override get status() {
    return 422 as const;
  }
}

/** Accepts the run that a body asks for, on the thread named or on one of its own. */
export async function acceptRun(
  c: Context<HttpEnv>,
  services: Services,
  body: RunBody,
  options: { thread?: string; defaultModes: StreamMode[]; keySuffix?: string; batch?: Batch },
): Promise<AcceptedRun> {
  const { thread, defaultModes, keySuffix = '' } = options;
  const order = toRunOrder(body, defaultModes);
  if (thread !== undefined && order.checkpointId !== undefined) {
    await requireCheckpoint(services, c.get('tenant'), thread, order.checkpointId);
  } else if (order.checkpointId !== undefined) {
    throw new Refusal('invalid_request', 'checkpoint_id: a run without a thread has none to start from', {
      field: 'checkpoint_id',
    });
  }
  const key = readIdempotencyKey(c);
  try {
    return await submitRun(services, {
      ...order,
      tenant: c.get('tenant'),
      requestId: c.get('requestId'),
      span: c.get('span'),
      thread,
      batch: options.batch,
      createThread: body.if_not_exists === 'create',
      throwaway: thread === undefined && body.on_completion !== 'keep',
      ...(key !== undefined && { idempotency: { key: key + keySuffix, body } }),
    });
  } catch (error) {
    if (error instanceof Refusal && error.code === 'thread_busy') {
      throw new RunRejected(
        error.code,
        error.message,
        error.field === undefined ? {} : { field: error.field },
      );
    }
    throw error;
  }
}

/** Tells the client which run it has, and where it may come back to its stream. */
export function runHeaders(run: { thread: string; runId: string }): Record<string, string> {
  const path = `/threads/${encodeURIComponent(run.thread)}/runs/${run.runId}`;
  return { 'Content-Location': path, Location: `${path}/stream` };
}
