import { Refusal } from '@millrace/shared/contract/error';
import { hasEnded, type RunRecord } from '@millrace/shared/contract/run';
import { isDead } from '@millrace/shared/dead-letters';
import type { Submission } from '@millrace/shared/run-moves';
import type { Page, Place } from '@millrace/shared/tenant-list';
import type { Span } from '@millrace/shared/tracing';
import type { Services } from '../services.ts';
import { workOf } from './go-on.ts';
import { getRun } from './runs.ts';
import { accept } from './submit-run.ts';

/** A tenant's runs that failed for a reason that is not their own, newest first. */
export function listDeadLetters(
  services: Services,
  tenant: string,
  page: { limit: number; after?: Place | undefined },
): Promise<Page<RunRecord>> {
  return services.lists.deadLetters(tenant, page);
}

/**
 * Runs a dead run again, as a new one that goes on from its last checkpoint. Asked for again it is the same new run,
 * unless that has died as well: then it is run again.
 *
 * @throws Refusal `not_found`, `invalid_request` for a run that is no dead letter, `thread_moved`
 */
export async function rerun(
  services: Services,
  tenant: string,
  runId: string,
  by: { requestId: string; span?: Span | undefined },
): Promise<RunRecord> {
  const asked = await getRun(services, tenant, runId);
  const run = await newestOf(services, asked);
  if (run.id !== asked.id && !isDead(run)) return run;
  if (!isDead(run)) throw notDead(run);
  if (!(await isWhereItWas(services, run))) throw moved(run);
  const graph = await services.catalog.resolve(run.request.graph, 'graph');
  const submission: Submission = {
    tenant,
    thread: run.thread,
    createThread: false,
    request: { ...run.request, ...workOf(run), graph: graph.graph, requestId: by.requestId },
    queue: services.queues.of(tenant, graph),
    multitask: 'enqueue',
    rerun: run.id,
  };
  const result = await accept(services, submission, { span: by.span });
  if (result.outcome === 'accepted') return getRun(services, tenant, result.runId);
  if (result.outcome === 'moved') throw moved(run);
  throw new Refusal('not_found', `The thread of run "${run.id}" is gone`, { field: 'run_id' });
}

/** The last one of those that go on with a run's work. */
async function newestOf(services: Services, run: RunRecord): Promise<RunRecord> {
  if (run.rerun === undefined) return run;
  const next = await services.store.read.run(run.tenant, run.rerun);
  return next ? newestOf(services, next) : run;
}

/** Whether the thread still is where the run left it. Where its state was edited since, no run can tell. */
async function isWhereItWas(services: Services, run: RunRecord): Promise<boolean> {
  const { goesOn } = workOf(run);
  if (goesOn.base === undefined) return true;
  const head = await services.checkpoints(run.tenant).head(run.thread);
  return (
    (head?.checkpointId ?? '') === goesOn.base || goesOn.runs.includes(String(head?.metadata.run_id ?? ''))
  );
}

function notDead({ status, error }: RunRecord): Refusal {
  const how = hasEnded(status) ? (error?.code ?? status) : 'not ended yet';
  return new Refusal(
    'invalid_request',
    `Only a run that failed with crash_budget or graph_changed is run again; this one is: ${how}`,
    { field: 'run_id' },
  );
}

function moved({ thread }: RunRecord): Refusal {
  return new Refusal(
    'thread_moved',
    `The thread "${thread}" has moved on since; send it a new message, or run it from a checkpoint of your choice`,
    { field: 'run_id' },
  );
}
