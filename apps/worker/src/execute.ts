import type { RedisSaver } from '@millrace/checkpoint-redis';
import { isRedisFault } from '@millrace/shared/redis-fault';
import type { Claim, Finish } from '@millrace/shared/run-moves';
import { finalAnswer } from './answer.ts';
import type { Attempt } from './attempt.ts';
import { type AttemptResult, afterError, failed, parked, withoutInvoking } from './attempt-result.ts';
import { RunCache, withRunCache } from './cache/run-cache.ts';
import { EffectGuard } from './effect-guard.ts';
import { EventWriter } from './event-writer.ts';
import { graphConfig, graphInput } from './graph-call.ts';
import { describeCheckpoint, History } from './history.ts';
import type { ExecutableGraph } from './loader/executable-graph.ts';
import type { LoadedGraph } from './loader/loaded-graph.ts';
import { ModelMeter } from './model-metrics.ts';
import { isHeldInside, openQuestions } from './questions.ts';
import { type Resumption, resumption } from './resume-rule.ts';
import { kindOf, RunTracer } from './run-tracer.ts';
import { readHead, standingOf } from './standing.ts';
import { stranded } from './stranded.ts';
import { eventData, eventName, graphModes } from './stream-modes.ts';
import { unfinishedMessages } from './unfinished-messages.ts';
import { askAbout, settleEffects } from './unknown-effects.ts';
import type { WorkerContext } from './worker-context.ts';

/** Executes a run's graph for one attempt, as the resume rule says, and streams what it does. */
export async function execute(
  worker: WorkerContext,
  attempt: Attempt,
  loaded: LoadedGraph,
  head: string | undefined,
): Promise<AttemptResult> {
  const { claim } = attempt;
  const { runId, thread, tenant, lease } = claim;
  const saver = worker.saver.withLease({
    namespace: tenant,
    lease,
    runId,
    metadata: { revision: loaded.revision },
  });
  const guard = new EffectGuard(worker.store.effects, attempt, saver);
  const events = new EventWriter(worker.store, attempt);
  const history = new History(saver, thread, (checkpointId) => {
    if (checkpointId !== head) attempt.progressed();
  });
  const limitMs = timeLimitMs(worker, claim);
  const timer = setTimeout(() => attempt.stop('timeout'), Math.max(0, limitMs - claim.usedMs));
  try {
    const graph = await loaded.bind({ checkpointer: saver, config: graphConfig(claim, worker.mcp) });
    const resume = await resumption(graph, saver, claim);
    const stuck = resume.go === 'stranded' ? await stranded(worker, loaded, resume.standing) : undefined;
    if (stuck?.result === 'hand_back') return stuck;
    const [began] = await Promise.all([
      worker.store.begin(runId, lease, { base: head ?? '', head: head ?? '' }),
      announce(worker, events, claim, saver, graph, head),
    ]).catch((error) => {
      // Nothing of the graph has run yet.
      if (isRedisFault(error)) attempt.stop('refused');
      throw error;
    });
    if (began === 'lost') return { result: 'lost' };
    const early =
      stuck ??
      (await settleEffects(worker.store, saver, claim)) ??
      withoutInvoking(resume) ??
      (await withoutItsOrigin(saver, thread, resume));
    if (early) {
      await Promise.all([describeHead(graph, saver, thread), events.flush()]);
      return early;
    }
    const used = await stepsUsed(attempt, saver, head);
    const { name, revision } = loaded;
    const cache = worker.cache && new RunCache(worker.cache, { tenant, graph: name, revision });
    await traced(worker, attempt, (tracer) =>
      withRunCache(cache, () =>
        invoke(worker, attempt, loaded, graph, resume, guard, events, history, used, tracer),
      ),
    );
    await history.close();
    await events.flush();
    // A reason to stop that came after the last step has nothing left to stop.
    if (attempt.stopReason === 'lost') return { result: 'lost' };
    if (attempt.stopReason === 'asks') return askAbout(guard.unknown);
    return { result: 'end', end: await endOf(graph, saver, thread, history) };
  } catch (error) {
    await events.flush().catch(() => undefined);
    await history.close().catch(() => undefined);
    const outcome =
      attempt.stopReason === 'asks'
        ? askAbout(guard.unknown)
        : afterError(attempt, error, limitMs, history.last?.checkpointId);
    const told = outcome.result === 'end' ? outcome.end.status : outcome.result;
    worker.logger.info(
      { runId, attempt: claim.attempt, outcome: told, err: error },
      'the graph did not come through',
    );
    return outcome;
  } finally {
    clearTimeout(timer);
  }
}

/** Does the graph's work within a span of its own, when there are traces. */
async function traced(
  worker: WorkerContext,
  { claim, span }: Attempt,
  work: (tracer: RunTracer | undefined) => Promise<void>,
): Promise<void> {
  const { tracing, logger } = worker;
  if (!tracing.on) return work(undefined);
  const tracer = new RunTracer(tracing, span, { graph: claim.request.graph, thread: claim.thread }, logger);
  let failure: string | undefined;
  try {
    await tracing.within(tracer.span, () => work(tracer));
  } catch (error) {
    failure = kindOf(error);
    throw error;
  } finally {
    tracer.close(failure);
  }
}

/** Lets the graph run to its end, its next question, or an error. */
async function invoke(
  worker: WorkerContext,
  attempt: Attempt,
  loaded: LoadedGraph,
  graph: ExecutableGraph,
  resume: Resumption,
  guard: EffectGuard,
  events: EventWriter,
  history: History,
  used: number,
  tracer: RunTracer | undefined,
): Promise<void> {
  const { claim } = attempt;
  const { request } = claim;
  const control = loaded.langgraph.RunControl ? new loaded.langgraph.RunControl() : undefined;
  if (control) attempt.controlledBy(control);
  const modes = graphModes(request.streamModes);
  const subgraphs = request.streamSubgraphs ?? false;
  const stream = await graph.stream(graphInput(loaded, claim, resume), {
    ...graphConfig(claim, worker.mcp, 'from' in resume ? resume.from : undefined),
    signal: attempt.signal,
    callbacks: [guard, new ModelMeter(worker.metrics.models, worker.logger), ...(tracer ? [tracer] : [])],
    durability: 'sync',
    recursionLimit: Math.max(1, stepLimit(worker, claim) - used),
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
    if (mode === 'checkpoints' && namespace.length === 0) {
      history.note(payload);
      if (history.firstStep !== undefined) attempt.startsAt(history.firstStep);
    }
    if ((modes as Set<string>).has(mode)) events.write(eventName(mode, namespace), eventData(mode, payload));
  }
}

/** A fork whose origin was pruned while it waited; LangGraph would start from nothing, and the thread forget all. */
async function withoutItsOrigin(
  saver: RedisSaver,
  thread: string,
  resume: Resumption,
): Promise<AttemptResult | undefined> {
  const from = 'from' in resume ? resume.from : undefined;
  if (from === undefined) return undefined;
  const origin = await saver.getTuple({
    configurable: { thread_id: thread, checkpoint_ns: '', checkpoint_id: from },
  });
  return origin ? undefined : failed('invalid_input', `The checkpoint ${from} is no longer kept.`);
}

/** For readers without graph code: whoever stored it may have died before it could. */
async function describeHead(graph: ExecutableGraph, saver: RedisSaver, thread: string): Promise<void> {
  const standing = await standingOf(graph, saver, thread);
  if (standing) await describeCheckpoint(saver, thread, standing);
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

/** What a graph that returned has come to: its end, or a question. */
async function endOf(
  graph: ExecutableGraph,
  saver: RedisSaver,
  thread: string,
  history: History,
): Promise<Finish> {
  const last = history.last;
  if (last && last.tasks.length === 0) {
    return { status: 'succeeded', checkpoint: last.checkpointId, ...finalAnswer(last.values) };
  }
  const standing = await standingOf(graph, saver, thread);
  if (!standing) return { status: 'succeeded', answer: '' };
  const { checkpointId, pending, values } = standing;
  // A graph that returns with something left to do, and asks nothing, was stopped by a breakpoint.
  const stopped = !pending.some((task) => task.interrupts.length > 0 || isHeldInside(task));
  const questions = await openQuestions(saver, thread, standing, stopped);
  if (questions.length > 0) return parked(questions, checkpointId);
  return { status: 'succeeded', checkpoint: checkpointId, ...finalAnswer(values) };
}

function timeLimitMs(worker: WorkerContext, { request }: Claim): number {
  return request.timeoutMs ?? worker.limits.runTimeoutMs;
}

function stepLimit(worker: WorkerContext, { request }: Claim): number {
  return request.recursionLimit ?? worker.limits.recursionLimit;
}

/** LangGraph counts steps anew on each call; what earlier attempts took shows in the checkpoints. */
async function stepsUsed(attempt: Attempt, saver: RedisSaver, head: string | undefined): Promise<number> {
  const { base, thread } = attempt.claim;
  if (base === undefined || head === undefined || attempt.baseStep === undefined) return 0;
  const step = (await readHead(saver, thread))?.metadata?.step;
  return step === undefined ? 0 : Math.max(0, step - attempt.baseStep);
}
