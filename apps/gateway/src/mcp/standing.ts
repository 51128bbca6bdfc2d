import type { RunRecord } from '@millrace/shared/contract/run';
import type { Services } from '../services.ts';
import { getRun } from '../use-cases/runs.ts';

/** Where the work behind a run id is now. */
export interface Standing {
  /** The newest run of the chain: answering a question makes a new one, and callers may hold on to any of their ids. */
  run: RunRecord;
  /** How the questions of an `interrupted` run were closed without an answer. */
  closed: 'superseded' | 'cancelled' | undefined;
}

/** @throws Refusal `not_found`, also for another tenant's */
export async function standingOf(services: Services, tenant: string, runId: string): Promise<Standing> {
  const asked = await getRun(services, tenant, runId);
  if (asked.status !== 'interrupted') return { run: asked, closed: undefined };
  const chain = await services.store.read.chain(tenant, asked.chain);
  const newest = chain?.newestRun ?? asked.id;
  const run = newest === asked.id ? asked : await getRun(services, tenant, newest);
  const state = chain?.state;
  const closed = state === 'superseded' || state === 'cancelled' ? state : undefined;
  return { run, closed: run.status === 'interrupted' ? closed : undefined };
}
