import { Refusal } from '@millrace/shared/contract/error';
import type { Json } from '@millrace/shared/contract/json';
import { hasEnded, type Question } from '@millrace/shared/contract/run';
import type { Watch } from '@millrace/shared/event-hub';
import type { ChainView } from '@millrace/shared/run-reader';
import type { Page, Place } from '@millrace/shared/tenant-list';
import type { Services } from '../services.ts';
import type { RunOrder } from './run-order.ts';
import { cancelRun } from './runs.ts';
import { submitRun } from './submit-run.ts';

/** A change can be missed only with the subscription, which is noticed; this is for what we have not thought of. */
const LOOK_AGAIN_MS = 15_000;

/**
 * How a chain stands.
 *
 * @throws Refusal `not_found`: also for another tenant's, for one that has expired, and for the id of a run that is not the
 *   first of its chain
 */
export async function getChain(services: Services, tenant: string, chainId: string): Promise<ChainView> {
  const view = await services.store.read.chainView(tenant, chainId);
  if (view) return view;
  throw new Refusal('not_found', `There is no task "${chainId}"; it never was, or is not kept any more`, {
    field: 'taskId',
  });
}

/** A tenant's chains, those that began last first. */
export function listChains(
  services: Services,
  tenant: string,
  page: { limit: number; after?: Place | undefined },
): Promise<Page<ChainView>> {
  return services.store.chains.list(tenant, page);
}

/** How a chain stands that somebody gets as a task, with the time it is kept: from now on that holds. */
export async function handOverChain(services: Services, tenant: string, chainId: string): Promise<ChainView> {
  const [view] = await Promise.all([
    getChain(services, tenant, chainId),
    services.store.chains.handOver(chainId),
  ]);
  return view;
}

/** How the questions of a parked chain were closed without an answer. */
export function closedHow({ chain, run }: ChainView): 'superseded' | 'cancelled' | undefined {
  if (run.status !== 'interrupted') return undefined;
  return chain.state === 'superseded' || chain.state === 'cancelled' ? chain.state : undefined;
}

/** When it last stood otherwise, in milliseconds since the epoch. */
export function updatedAtOf({ chain, run }: ChainView): number {
  return Math.max(run.updatedAt, chain.updatedAt ?? 0);
}

/** Whether a chain asks something, and can be answered. */
export function isParked({ chain, run }: ChainView): boolean {
  return run.status === 'interrupted' && chain.state === 'parked';
}

/** Whether nothing will come of a chain any more. */
export function isOver(view: ChainView): boolean {
  const { status } = view.run;
  return hasEnded(status) && (status !== 'interrupted' || closedHow(view) !== undefined);
}

/** What a parked chain still wants to know. Should all answers be kept and nobody have handed them on: all of it. */
export function openQuestions({ chain }: ChainView): Question[] {
  const open = chain.questions.filter((one) => !chain.kept.includes(one.id));
  return open.length > 0 ? open : chain.questions;
}

/**
 * Answers a chain's questions by their ids, as soon as there is an answer to each; until then what was given is kept. What is
 * not asked, any more or yet, is passed over: so an answer may be sent again.
 *
 * @throws Refusal naming why the run that goes on was not accepted; the answers are kept, and may be sent again
 */
export async function answerChain(
  services: Services,
  by: Pick<RunOrder, 'tenant' | 'requestId' | 'span'>,
  view: ChainView,
  answers: Record<string, Json>,
): Promise<void> {
  const { chain, run } = view;
  const complete =
    isParked(view) && chain.questions.some((one) => Object.hasOwn(answers, one.id))
      ? await services.store.answers.keep(chain.id, answers)
      : undefined;
  if (!complete) return;
  try {
    await submitRun(services, {
      ...by,
      assistant: run.request.graph,
      thread: chain.thread,
      chain: chain.id,
      answers: complete,
      streamModes: ['updates'],
    });
  } catch (error) {
    // Somebody else was quicker: the question counts as answered once.
    if (!(error instanceof Refusal && error.code === 'stale')) throw error;
  }
}

/** Stops what is at work, or closes what is asked. Repeating it is harmless. */
export async function cancelChain(services: Services, view: ChainView): Promise<void> {
  if (!isOver(view)) await cancelRun(services, view.chain.tenant, view.run.id);
}

/**
 * A chain as it stands now, and again whenever it may stand otherwise, until it is over, expires, or `signal` aborts.
 *
 * @param options.everyMs the least distance between two looks at a chain that is at work: each of its events would be one
 */
export async function* followChain(
  services: Services,
  tenant: string,
  chainId: string,
  { signal, everyMs }: { signal: AbortSignal; everyMs: number },
): AsyncGenerator<ChainView, void> {
  let watched: { run: string; watch: Watch } | undefined;
  try {
    while (!signal.aborted) {
      const view = await services.store.read.chainView(tenant, chainId);
      if (!view) return;
      if (watched?.run !== view.run.id) {
        watched?.watch.close();
        watched = { run: view.run.id, watch: services.events.watch(view.run.id) };
        await unlessAborted(watched.watch.ready, signal);
        // What happened before the subscription would go unseen.
        continue;
      }
      yield view;
      if (isOver(view)) return;
      await changed(watched.watch, signal, everyMs);
    }
  } finally {
    watched?.watch.close();
  }
}

/** Waits for a subscription, but no longer than anybody wants it: it may be down for as long as Redis is. */
function unlessAborted(ready: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const enough = () => resolve();
    signal.addEventListener('abort', enough, { once: true });
    if (signal.aborted) enough();
    ready.then(resolve, reject).finally(() => signal.removeEventListener('abort', enough));
  });
}

async function changed(watch: Watch, signal: AbortSignal, everyMs: number): Promise<void> {
  const until = performance.now() + everyMs;
  let nudge = await watch.next({ signal, timeoutMs: LOOK_AGAIN_MS });
  while (nudge && !nudge.ended && !nudge.resubscribed) {
    nudge = await watch.next({ signal, timeoutMs: Math.max(0, until - performance.now()) });
  }
}
