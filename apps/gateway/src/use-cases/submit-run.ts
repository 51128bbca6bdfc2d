import { randomUUID } from 'node:crypto';
import type { CatalogEntry } from '@millrace/shared/contract/catalog';
import { Refusal } from '@millrace/shared/contract/error';
import type { RunRequest } from '@millrace/shared/contract/run';
import { derivedThreadId } from '@millrace/shared/partition';
import type { Submission, SubmitResult } from '@millrace/shared/run-moves';
import type { Span } from '@millrace/shared/tracing';
import type { Services } from '../services.ts';
import { admit, type Batch } from './admit.ts';
import { type Answers, keyAnswers } from './answers.ts';
import { workOf } from './go-on.ts';
import { hashOf, idempotencyConflict } from './idempotency.ts';
import { ring } from './ring.ts';
import type { RunOrder } from './run-order.ts';

export interface AcceptedRun {
  runId: string;
  thread: string;
  graph: CatalogEntry;
  /** The same order was accepted before; this is its run. */
  repeated: boolean;
}

/**
 * Accepts a run: once this resolves, it will reach an end.
 *
 * @throws Refusal naming what is wrong with the order
 */
export async function submitRun(services: Services, order: RunOrder): Promise<AcceptedRun> {
  const graph = await services.catalog.resolve(order.assistant, 'assistant_id');
  const thread = order.thread ?? newThreadId(order);
  const idempotency = order.idempotency && {
    key: order.idempotency.key,
    bodyHash: hashOf([order.assistant, order.idempotency.body]),
  };
  // Before the order is looked at: what it meant then may mean something else by now.
  const known = idempotency && (await services.store.repeated(order.tenant, thread, idempotency));
  if (known === 'conflict') throw idempotencyConflict();
  if (known) return { runId: known.runId, thread, graph, repeated: true };
  const answers = await keyAnswers(services, order.tenant, thread, order);
  // Meanwhile the thread would be nobody's: no question open, and no run at work.
  if (answers && order.afterMs) {
    throw new Refusal('invalid_request', 'An answer cannot be put off; send it when it is to count', {
      field: 'after_seconds',
    });
  }
  const request = await decided(services, order.tenant, toRequest(order, graph, answers), answers);
  const submission: Submission = {
    tenant: order.tenant,
    thread,
    createThread: order.thread === undefined || order.createThread === true,
    ...(order.throwaway && { throwaway: true }),
    ...(order.threadMetadata && { threadMetadata: order.threadMetadata }),
    request,
    queue: services.queues.of(order.tenant, graph),
    multitask: order.multitask ?? 'enqueue',
    ...(order.afterMs !== undefined && order.afterMs > 0 && { afterMs: order.afterMs }),
    ...(order.chain !== undefined && { chain: order.chain }),
    ...(idempotency && { idempotency }),
  };
  const result = await accept(services, submission, order);
  switch (result.outcome) {
    case 'accepted':
      return { runId: result.runId, thread, graph, repeated: result.repeated };
    case 'conflict':
      throw idempotencyConflict();
    case 'no_thread':
      throw new Refusal('not_found', `There is no thread "${thread}"; create it first`, {
        field: 'thread_id',
      });
    case 'busy':
      throw new Refusal('thread_busy', 'The thread is busy; try later, or use multitask_strategy "enqueue"', {
        field: 'thread_id',
      });
    case 'incomplete':
      throw new Refusal(
        'ambiguous_answer',
        'These questions can only be answered together; give an answer for each, by its id',
        { field: 'command.resume' },
      );
    case 'moved':
    case 'stale':
      throw new Refusal(
        'stale',
        'This answers no open question: it was answered already, superseded by a newer message, or never asked',
        { field: 'command.resume' },
      );
  }
}

/**
 * Submits while there is room, and rings.
 *
 * @param by the batch that the run is one of, and the work that brings it
 * @throws Refusal `too_many_runs`, `overloaded`
 */
export async function accept(
  services: Services,
  submission: Submission,
  by: { batch?: Batch | undefined; span?: Span | undefined } = {},
): Promise<SubmitResult> {
  const { tenant, thread } = submission;
  const admission = await admit(services, tenant, submission.request, by.batch);
  const sending = by.span && startSending(services, by.span, submission);
  const request = sending?.context ? { ...submission.request, trace: sending.context } : submission.request;
  const result = await services.store.submit({ ...submission, request }).catch((error: unknown) => {
    // Stored or not: the next reading shows it.
    admission?.settle(true);
    sending?.end('unavailable');
    throw error;
  });
  if (result.outcome === 'accepted') sending?.set({ 'messaging.message.id': result.runId });
  sending?.end(result.outcome === 'accepted' ? undefined : result.outcome);
  admission?.settle(result.outcome === 'accepted' && !result.repeated);
  if (result.outcome === 'accepted') {
    const { runId, repeated, fence } = result;
    if (!repeated && request.kind === 'graph') {
      services.counters.submitted.inc({ graph: request.graph, queue: submission.queue });
    }
    services.logger.info({ runId, thread, tenant, requestId: request.requestId, repeated }, 'run accepted');
    if (fence !== undefined) await closeToTheGone(services, tenant, thread, fence);
    await ring(services, result.job);
  }
  return result;
}

/** By OpenTelemetry's conventions for messaging: the run is a message, which a worker will process. */
function startSending({ tracing }: Services, parent: Span, { queue, request, thread }: Submission): Span {
  return tracing.start(`send ${queue}`, {
    kind: 'producer',
    parent,
    attributes: {
      'messaging.system': 'millrace',
      'messaging.operation.type': 'send',
      'messaging.operation.name': 'send',
      'messaging.destination.name': queue,
      'gen_ai.agent.name': request.graph,
      'gen_ai.conversation.id': thread,
    },
  });
}

/**
 * A run was stopped whose worker is gone, or believed so. Should it come back before the thread's next turn, which
 * closes the checkpoint store too, it must be refused. Never the caller's fault: the run is accepted.
 */
async function closeToTheGone(
  services: Services,
  tenant: string,
  thread: string,
  fence: number,
): Promise<void> {
  try {
    await services.fence(tenant, thread, fence);
  } catch (error) {
    services.logger.warn({ err: error, thread }, 'accepted; the next turn closes the checkpoint store');
  }
}

/** A retry that names no thread must find the one its first try made. */
function newThreadId(order: RunOrder): string {
  return order.idempotency ? derivedThreadId(order.tenant, order.idempotency.key) : randomUUID();
}

/** An answer about effects lets the run that asks go on, with what that one was given. */
async function decided(
  services: Services,
  tenant: string,
  request: RunRequest,
  answers: Answers | undefined,
): Promise<RunRequest> {
  if (!answers?.effects) return request;
  const { decisions, asked } = answers.effects;
  const run = await services.store.read.run(tenant, asked);
  // Gone since: the store will find the answer stale.
  if (!run) return request;
  const { config, context, interruptBefore, interruptAfter } = run.request;
  return { config, context, interruptBefore, interruptAfter, ...defined(request), ...workOf(run), decisions };
}

function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as T;
}

function toRequest(order: RunOrder, graph: CatalogEntry, answers: Answers | undefined): RunRequest {
  const { update, goto } = order.command ?? {};
  return {
    kind: order.kind ?? 'graph',
    graph: graph.graph,
    assistantId: graph.assistantId,
    input: answers ? undefined : (order.input ?? null),
    command: update !== undefined || goto !== undefined ? { update, goto } : undefined,
    answers: answers?.byQuestion,
    resume: answers?.byInterrupt,
    config: order.config,
    context: order.context,
    metadata: order.metadata,
    streamModes: order.streamModes,
    streamSubgraphs: order.streamSubgraphs,
    interruptBefore: order.interruptBefore,
    interruptAfter: order.interruptAfter,
    recursionLimit: order.recursionLimit,
    timeoutMs: order.timeoutMs,
    checkpointId: order.checkpointId,
    multitask: order.multitask,
    requestId: order.requestId,
    asNode: order.asNode,
  };
}
