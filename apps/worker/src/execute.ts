import { randomUUID } from 'node:crypto';
import type { RedisSaver } from '@millrace/checkpoint-redis';
import type { Claim, Finish } from '@millrace/shared/run-store';
import { answerText } from './answer-text.ts';
import type { Attempt } from './attempt.ts';
import { EventWriter } from './event-writer.ts';
import { History } from './history.ts';
import type { ExecutableGraph } from './loader/executable-graph.ts';
import type { LoadedGraph } from './loader/loaded-graph.ts';
import { openQuestions } from './questions.ts';
import { type Resumption, resumption } from './resume-rule.ts';
import { toRunError } from './run-error.ts';
import { standingOf } from './standing.ts';
import { eventData, eventName, graphModes } from './stream-modes.ts';
import { unfinishedMessages } from './unfinished-messages.ts';
import type { WorkerContext } from './worker-context.ts';

/** How an attempt came out: an end for the run, back to the queue, or nothing to say any more. */
export type AttemptResult = { result: 'end'; end: Finish } | { result: 'hand_back' } | { result: 'lost' };

/** Executes a run's graph for one attempt, as the resume rule says, and streams what it does. */
export async function execute(
  worker: WorkerContext,
  attempt: Attempt,
  loaded: LoadedGraph,
  head: string | undefined,
): Promise<AttemptResult> {
  const { claim } = attempt;
  const { runId, request, thread, tenant, lease } = claim;
  const saver = worker.saver.withLease({ namespace: tenant, lease, runId });
  const events = new EventWriter(worker.store, attempt);
  const history = new History(saver, thread);
  const timer = setTimeout(
    () => attempt.stop('timeout'),
    Math.max(0, timeLimitMs(worker, claim) - claim.usedMs),
  );
  try {
    const began = worker.store.begin(runId, lease, { base: head ?? '', head: head ?? '' });
    const config = graphConfig(claim);
    const graph = await loaded.bind({ checkpointer: saver, config });
    const resume = await resumption(graph, saver, claim);
    await announce(worker, events, claim, saver, graph, head);
    if ((await began) === 'lost') attempt.stop('lost');
    const early = withoutInvoking(resume);
    if (early) {
      await events.flush();
      return { result: 'end', end: early };
    }
    const stepsLeft = stepLimit(worker, claim) - (await stepsUsed(saver, claim, head));
    const control = loaded.langgraph.RunControl ? new loaded.langgraph.RunControl() : undefined;
    if (control) attempt.controlledBy(control);
    const modes = graphModes(request.streamModes);
    const subgraphs = request.streamSubgraphs ?? false;
    const stream = await graph.stream(graphInput(loaded, claim, resume), {
      ...config,
      signal: attempt.signal,
      durability: 'sync',
      recursionLimit: Math.max(1, stepsLeft),
      // `checkpoints` tells what the next step is; readers without graph code need it stored. `messages` makes models
      // stream, asked for or not: a silent answer could not be told from a model that hangs.
      streamMode: [...new Set([...modes, 'checkpoints' as const, 'messages' as const])],
      subgraphs,
      ...(control && { control }),
      ...(request.interruptBefore && { interruptBefore: request.interruptBefore }),
      ...(request.interruptAfter && { interruptAfter: request.interruptAfter }),
    } as Parameters<ExecutableGraph['stream']>[1]);
    for await (const chunk of stream as AsyncIterable<unknown[]>) {
      const [namespace, mode, payload] = (subgraphs ? chunk : [[], ...chunk]) as [string[], string, unknown];
      if (mode === 'checkpoints' && namespace.length === 0) history.note(payload);
      if ((modes as Set<string>).has(mode))
        events.write(eventName(mode, namespace), eventData(mode, payload));
    }
    await history.close();
    await events.flush();
    // A reason to stop that came after the last step has nothing left to stop.
    if (attempt.stopReason === 'lost') return { result: 'lost' };
    return { result: 'end', end: await endOf(graph, saver, thread, history) };
  } catch (error) {
    await events.flush().catch(() => undefined);
    await history.close().catch(() => undefined);
    return afterError(worker, attempt, error, history);
  } finally {
    clearTimeout(timer);
  }
}

/** What the caller may set, less what is ours: identity and LangGraph's own machinery. */
function graphConfig({ request, thread, runId, attempt, tenant, base }: Claim) {
  const configurable = Object.fromEntries(
    Object.entries(request.config?.configurable ?? {}).filter(
      ([name]) => !name.startsWith('__pregel_') && !name.startsWith('checkpoint_'),
    ),
  );
  // A fork starts from an older checkpoint, but only once: from then on it has checkpoints of its own.
  const forks = request.checkpointId !== undefined && attempt === 1 && base === undefined;
  return {
    configurable: {
      ...configurable,
      thread_id: thread,
      run_id: runId,
      graph_id: request.graph,
      assistant_id: request.assistantId,
      tenant,
      ...(forks && { checkpoint_id: request.checkpointId }),
    },
    metadata: { ...request.metadata, run_id: runId, thread_id: thread, graph_id: request.graph },
    ...(request.config?.tags && { tags: request.config.tags }),
    ...(request.context && { context: request.context }),
  };
}

function graphInput(loaded: LoadedGraph, { request }: Claim, resume: Resumption): unknown {
  const { Command, Send } = loaded.langgraph;
  if (resume.go === 'answer') {
    const { update } = request.command ?? {};
    return new Command({
      resume: resume.answers,
      ...(update != null && { update: update as Record<string, unknown> }),
    });
  }
  if (resume.go === 'continue') return null;
  if (!request.command) return withMessageIds(request.input);
  const { update, goto } = request.command;
  const target = (one: unknown) => {
    const send = one as { node?: unknown; input?: unknown };
    return typeof one === 'object' && one !== null ? new Send(String(send.node), send.input) : String(one);
  };
  return new Command({
    ...(update != null && { update: update as Record<string, unknown> }),
    ...(goto != null && { goto: Array.isArray(goto) ? goto.map(target) : target(goto) }),
  });
}

/**
 * Gives messages of the input an id, as the Agent Server does: a message without one would get another on each
 * attempt, and streams could not be told from the state.
 */
function withMessageIds(input: unknown): unknown {
  if (typeof input !== 'object' || input === null || !('messages' in input)) return input;
  const { messages } = input;
  const list = Array.isArray(messages) ? messages : [messages];
  return {
    ...input,
    messages: list.map((one: unknown) => {
      if (typeof one === 'string') return { role: 'user', content: one, id: randomUUID() };
      if (typeof one !== 'object' || one === null || Array.isArray(one) || 'id' in one) return one;
      return { ...one, id: randomUUID() };
    }),
  };
}

/** The first event of an attempt; from the second on, also what of the stream so far is void, and what stands. */
async function announce(
  worker: WorkerContext,
  events: EventWriter,
  { runId, attempt, thread }: Claim,
  saver: RedisSaver,
  graph: ExecutableGraph,
  head: string | undefined,
): Promise<void> {
  const metadata = { run_id: runId, attempt, ...(worker.modelNote && { model: worker.modelNote }) };
  if (attempt === 1) {
    events.write('metadata', JSON.stringify(metadata));
    return;
  }
  const standing = head === undefined ? undefined : await standingOf(graph, saver, thread);
  const values = standing?.values ?? {};
  const discard = await unfinishedMessages(worker.redis, worker.store.keys, runId, values);
  events.write('metadata', JSON.stringify({ ...metadata, ...(discard.length > 0 && { discard }) }));
  if (standing) events.write('values', eventData('values', values));
}

/** The end of a run for which nothing needs to be invoked. */
function withoutInvoking(resume: Resumption): Finish | undefined {
  switch (resume.go) {
    case 'park':
      return { status: 'interrupted', checkpoint: resume.standing.checkpointId, questions: resume.questions };
    case 'done': {
      const { checkpointId, values } = resume.standing;
      return { status: 'succeeded', checkpoint: checkpointId, answer: answerText(values) };
    }
    case 'stale':
      return {
        status: 'failed',
        error: { code: 'invalid_input', message: 'The question this answers is no longer open.' },
      };
    default:
      return undefined;
  }
}

/** What a graph that returned has come to: its end, or a question. */
async function endOf(
  graph: ExecutableGraph,
  saver: RedisSaver,
  thread: string,
  history: History,
): Promise<Finish> {
  const last = history.last;
  if (last && last.tasks.length === 0) {
    return { status: 'succeeded', checkpoint: last.checkpointId, answer: answerText(last.values) };
  }
  const standing = await standingOf(graph, saver, thread);
  const checkpoint = standing && { checkpoint: standing.checkpointId };
  const questions = standing ? await openQuestions(saver, thread, standing) : [];
  if (questions.length > 0) return { status: 'interrupted', ...checkpoint, questions };
  return { status: 'succeeded', ...checkpoint, answer: answerText(standing?.values ?? {}) };
}

function afterError(
  worker: WorkerContext,
  attempt: Attempt,
  error: unknown,
  history: History,
): AttemptResult {
  const checkpoint = history.last && { checkpoint: history.last.checkpointId };
  if (attempt.stopReason === 'lost' || isNamed(error, 'FenceError')) return { result: 'lost' };
  if (attempt.stopReason === 'cancelled')
    return { result: 'end', end: { status: 'cancelled', ...checkpoint } };
  if (attempt.stopReason === 'timeout') {
    const limit = Math.round(timeLimitMs(worker, attempt.claim) / 1000);
    const message = `The run used up its ${limit} s.`;
    return { result: 'end', end: { status: 'failed', ...checkpoint, error: { code: 'timeout', message } } };
  }
  if (attempt.stopReason === 'drain' || isNamed(error, 'GraphDrained')) return { result: 'hand_back' };
  const runError = toRunError(error, history.last !== undefined);
  worker.logger.info(
    { runId: attempt.runId, attempt: attempt.claim.attempt, err: error },
    'the graph failed',
  );
  return { result: 'end', end: { status: 'failed', ...checkpoint, error: runError } };
}

function isNamed(error: unknown, name: string): boolean {
  return error instanceof Error && (error.name === name || isNamed(error.cause, name));
}

function timeLimitMs(worker: WorkerContext, { request }: Claim): number {
  return request.timeoutMs ?? worker.limits.runTimeoutMs;
}

function stepLimit(worker: WorkerContext, { request }: Claim): number {
  return request.recursionLimit ?? worker.limits.recursionLimit;
}

/** LangGraph counts steps anew on each call; what earlier attempts took shows in the checkpoints. */
async function stepsUsed(saver: RedisSaver, claim: Claim, head: string | undefined): Promise<number> {
  if (claim.attempt === 1 || head === undefined || head === claim.base) return 0;
  const stepOf = async (checkpointId: string) => {
    const tuple = await saver.getTuple({
      configurable: { thread_id: claim.thread, checkpoint_ns: '', checkpoint_id: checkpointId },
    });
    return tuple?.metadata?.step;
  };
  const [now, then] = await Promise.all([stepOf(head), claim.base ? stepOf(claim.base) : -2]);
  // The input's own checkpoint is no step.
  return now === undefined || then === undefined ? 0 : Math.max(0, now - then - 1);
}
