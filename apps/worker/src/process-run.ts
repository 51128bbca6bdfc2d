import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RaisedFence, raiseFence, readFence } from '@millrace/checkpoint-redis';
import { CheckpointReader } from '@millrace/checkpoint-redis/reader';
import { isRedisFault } from '@millrace/shared/redis-fault';
import type { Claim, Finish } from '@millrace/shared/run-moves';
import type { Span } from '@millrace/shared/tracing';
import { Attempt } from './attempt.ts';
import { ANOTHER_TIME_MS, type AttemptResult } from './attempt-result.ts';
import { editState } from './edit-state.ts';
import { execute } from './execute.ts';
import type { WorkerContext } from './worker-context.ts';

/**
 * Takes one delivery of a run as far as it goes: to its end, back to the queue, or nowhere, when the run is over or
 * somebody else's.
 *
 * @param queue it came in, which need not be the graph's: some tenants have a part of it
 * @returns `not_now` when this worker cannot take it now: the delivery is to be made again
 */
export async function processRun(
  worker: WorkerContext,
  runId: string,
  queue: string,
): Promise<'done' | 'not_now'> {
  if (!worker.company.enter()) return 'not_now';
  try {
    const claimed = await claimRun(worker, runId);
    if (claimed === 'not_now') return 'not_now';
    if (claimed) await attemptRun(worker, claimed, queue);
    return 'done';
  } finally {
    worker.company.leave();
  }
}

interface Claimed {
  /** Among the worker's leases. */
  attempt: Attempt;
  head: string | undefined;
}

async function attemptRun(worker: WorkerContext, { attempt, head }: Claimed, queue: string): Promise<void> {
  const { runId, tenant, thread, attempt: number, request } = attempt.claim;
  const { requestId } = request;
  const span = startProcessing(worker, attempt.claim, queue);
  attempt.span = span;
  const logger = worker.logger.child({ runId, attempt: number, tenant, thread, requestId });
  logger.info('attempt started');
  worker.metrics.claimed.inc({ graph: request.graph });
  if (worker.company.isCrowded) attempt.drain();
  let result: AttemptResult['result'] = 'lost';
  let failure: string | undefined = 'lost';
  try {
    const outcome = await worker.tracing.within(span, () => carryOut(worker, attempt, head));
    if (await conclude(worker, attempt, outcome)) {
      if (outcome.result === 'end' && request.kind === 'graph') worker.pace.ended(queue, attempt.usedMs);
      result = outcome.result;
      failure = outcome.result === 'end' ? outcome.end.error?.code : undefined;
      if (outcome.result === 'end') span.set({ 'millrace.run.status': outcome.end.status });
    }
    logger.info(
      { result: outcome.result, ...(outcome.result === 'end' && { status: outcome.end.status }) },
      'attempt ended',
    );
  } finally {
    span.set({ 'millrace.attempt.result': result });
    span.end(failure);
    worker.metrics.attempts.inc({ graph: request.graph, result });
    worker.leases.remove(attempt);
  }
}

/**
 * By OpenTelemetry's conventions for messaging. Each attempt is a child of what sent the run: one that was killed has told
 * nothing, and the next still belongs to the trace.
 */
function startProcessing(worker: WorkerContext, claim: Claim, queue: string): Span {
  const { request, runId, thread, tenant, attempt } = claim;
  return worker.tracing.start(`process ${queue}`, {
    kind: 'consumer',
    parent: request.trace,
    attributes: {
      'messaging.system': 'millrace',
      'messaging.operation.type': 'process',
      'messaging.operation.name': 'process',
      'messaging.destination.name': queue,
      'messaging.message.id': runId,
      'gen_ai.agent.name': request.graph,
      'gen_ai.conversation.id': thread,
      'session.id': thread,
      'millrace.run.kind': request.kind,
      'millrace.attempt': attempt,
      'millrace.tenant': tenant,
    },
  });
}

/** Takes the thread's lease, here and at the checkpoint store. Undefined when there is nothing to take. */
async function claimRun(worker: WorkerContext, runId: string): Promise<Claimed | 'not_now' | undefined> {
  const { store, checkpointRedis, checkpointPrefix: prefix, limits } = worker;
  const by = {
    worker: worker.name,
    nonce: randomUUID(),
    leaseMs: limits.leaseMs,
    crashBudget: limits.crashBudget,
  };
  let known: { token: number; head?: string | undefined } = { token: 0 };
  let alone = false;
  let crashed = false;
  for (;;) {
    const claim = await store.claim(runId, by, known, alone);
    if (claim.outcome === 'last_try') {
      alone = await worker.company.alone();
      if (!alone) return 'not_now';
      known = { token: 0 };
      continue;
    }
    if (claim.outcome === 'look') {
      crashed = true;
      const threadRef = { prefix, namespace: claim.tenant, threadId: claim.thread };
      const reader = new CheckpointReader(checkpointRedis, { prefix, namespace: claim.tenant });
      const [token, head] = await Promise.all([
        readFence(checkpointRedis, threadRef),
        reader.head(claim.thread),
      ]);
      known = { token, head: head?.checkpointId ?? '' };
      continue;
    }
    if (claim.outcome === 'ended') {
      const ended = { prefix, namespace: claim.tenant, threadId: claim.thread };
      await raiseFence(checkpointRedis, ended, { token: claim.token, nonce: by.nonce });
      await worker.doorbell.ring([claim.job]);
      if (claim.here) await observeEndInClaim(worker, claim.tenant, runId, crashed);
    }
    if (claim.outcome === 'later') return 'not_now';
    if (claim.outcome !== 'claimed') return undefined;
    const attempt = new Attempt(claim, () => worker.company.share());
    // Before the store is asked: it may keep us waiting for longer than a lease lasts.
    worker.leases.add(attempt);
    let raised: RaisedFence | undefined;
    try {
      raised = await raise(worker, attempt);
    } finally {
      if (!raised?.raised) worker.leases.remove(attempt);
    }
    if (raised?.raised) {
      if (crashed) worker.metrics.crashes.inc({ graph: claim.request.graph });
      return { attempt, head: raised.head };
    }
    if (!raised) return undefined;
    known = { token: raised.token, head: known.head };
  }
}

/** Raises the fence of the checkpoint store. A run for which that cannot be done now is handed back: undefined. */
async function raise(worker: WorkerContext, attempt: Attempt): Promise<RaisedFence | undefined> {
  const { tenant, thread, lease } = attempt.claim;
  const threadRef = { prefix: worker.checkpointPrefix, namespace: tenant, threadId: thread };
  try {
    return await Promise.race([raiseFence(worker.checkpointRedis, threadRef, lease), stopped(attempt)]);
  } catch (error) {
    worker.logger.warn({ runId: attempt.runId, err: error }, 'the checkpoint store is closed to the run');
    const result: AttemptResult =
      attempt.stopReason === 'lost' ? { result: 'lost' } : { result: 'hand_back', delayMs: ANOTHER_TIME_MS };
    await conclude(worker, attempt, result);
    return undefined;
  }
}

/** Rejects when the attempt is to stop. */
function stopped({ signal }: Attempt): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

async function carryOut(
  worker: WorkerContext,
  attempt: Attempt,
  head: string | undefined,
): Promise<AttemptResult> {
  const { request, tenant, lease, runId, thread, target } = attempt.claim;
  const saver = worker.saver.withLease({ namespace: tenant, lease, runId });
  if (request.kind === 'delete_thread') {
    await saver.deleteThread(thread);
    return { result: 'end', end: { status: 'succeeded' } };
  }
  if (request.kind === 'rollback') {
    // It may have written nothing, or a former attempt has taken it back: then nothing is left to do.
    if (target !== undefined) await saver.rollback(thread, target);
    return { result: 'end', end: { status: 'succeeded' } };
  }
  const loaded = worker.graphs.get(request.graph);
  // Another worker has it.
  if (!loaded) return { result: 'hand_back', delayMs: ANOTHER_TIME_MS };
  if (request.kind === 'update_state') return editState(worker, attempt, loaded, head);
  return execute(worker, attempt, loaded, head);
}

/** @returns whether it came out so, or the run was somebody else's by then */
async function conclude(worker: WorkerContext, attempt: Attempt, outcome: AttemptResult): Promise<boolean> {
  const { claim } = attempt;
  if (outcome.result === 'lost') {
    worker.logger.warn({ runId: attempt.runId }, 'the lease is lost; nothing more is written');
    await letGo(worker, attempt);
    return false;
  }
  if (outcome.result === 'hand_back') return handBack(worker, attempt, outcome.delayMs);
  const { end } = outcome;
  const { won, job } = await persistently(worker, attempt, () =>
    worker.store.finish(attempt.runId, claim.lease, end, attempt.eventsStored),
  );
  if (!won) {
    await letGo(worker, attempt);
    return false;
  }
  observe(worker, claim, end, attempt.usedMs);
  await worker.doorbell.ring([job]);
  return true;
}

/**
 * A store that went back to an older state refuses an attempt whose lease it may still know. Then the run goes on from what
 * is there, at no cost; where the lease is another's, nothing happens.
 */
async function letGo(worker: WorkerContext, attempt: Attempt): Promise<void> {
  await handBack(worker, attempt, ANOTHER_TIME_MS);
}

/** @returns whether the run was still this attempt's to give */
async function handBack(worker: WorkerContext, attempt: Attempt, delayMs: number): Promise<boolean> {
  const { usedMs, baseStep } = attempt;
  const { won, job } = await persistently(worker, attempt, () =>
    worker.store.handBack(attempt.runId, attempt.claim.lease, { delayMs, usedMs, baseStep }),
  );
  await worker.doorbell.ring([job]);
  return won;
}

function observe(worker: WorkerContext, claim: Claim, end: Finish, usedMs: number): void {
  if (claim.request.kind !== 'graph') return;
  const labels = { graph: claim.request.graph, status: end.status };
  worker.metrics.runs.duration.observe(labels, usedMs / 1000);
  worker.metrics.runs.wait.observe(labels, Math.max(0, claim.startedAt - claim.createdAt) / 1000);
  worker.metrics.ended.inc(labels);
}

/** A run that was not given another attempt. Seldom, so that its record may be looked up. */
async function observeEndInClaim(
  worker: WorkerContext,
  tenant: string,
  runId: string,
  crashed: boolean,
): Promise<void> {
  try {
    const run = await worker.store.read.run(tenant, runId);
    if (!run) return;
    const { graph, kind } = run.request;
    if (crashed) worker.metrics.crashes.inc({ graph });
    if (kind === 'graph') worker.metrics.ended.inc({ graph, status: run.status });
  } catch (error) {
    worker.logger.debug({ err: error, runId }, 'an end could not be counted');
  }
}

const REFUSED_PAUSE_MS = 500;

/**
 * Repeats a move that Redis refuses for now (no memory, no replica, read-only, a slot on the move): the outcome is there,
 * and doing the work again would cost more than waiting. Gives up when the lease went to somebody else meanwhile.
 */
async function persistently<T>(
  { redis }: WorkerContext,
  attempt: Attempt,
  move: () => Promise<T>,
): Promise<T> {
  for (;;) {
    try {
      return await move();
    } catch (error) {
      const refused = (error instanceof Error && error.name === 'ReplyError') || isRedisFault(error);
      if (!refused || attempt.stopReason === 'lost' || redis.status === 'end') throw error;
      await sleep(REFUSED_PAUSE_MS);
    }
  }
}
