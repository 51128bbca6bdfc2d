import type { RedisSaver } from '@millrace/checkpoint-redis';
import type { Json } from '@millrace/shared/contract/json';
import type { Question } from '@millrace/shared/contract/run';
import type { Claim } from '@millrace/shared/run-store';
import type { ExecutableGraph } from './loader/executable-graph.ts';
import { atBreakpoint, openQuestions } from './questions.ts';
import { readHead, type Standing, standingOf, writerOf } from './standing.ts';

/** What an attempt is to do with the graph. */
export type Resumption =
  /** Give it the run's input or command. */
  | { go: 'start' }
  /** Give it the answers to questions that are still open, by LangGraph's interrupt id. */
  | { go: 'answer'; answers: Record<string, Json> }
  /** Let it go on from where the thread stands. */
  | { go: 'continue' }
  /** It waits for answers: ask, and invoke nothing. */
  | { go: 'park'; questions: Question[]; standing: Standing }
  /** It is through: a former attempt did all but say so. */
  | { go: 'done'; standing: Standing }
  /** The question was open when the answer was accepted, and is no more. */
  | { go: 'stale' };

/**
 * Decides from the head checkpoint alone, so that it does not matter where a former attempt died.
 *
 * `invoke(input)` on a half-done run would double its input; `invoke(null)` would walk through a question; on a
 * finished thread it would return the previous answer as this one's.
 */
export async function resumption(
  graph: ExecutableGraph,
  saver: RedisSaver,
  claim: Claim,
): Promise<Resumption> {
  const { request, thread, runId, attempt } = claim;
  if (attempt === 1 && !request.answers)
    return request.input === null && !request.command ? { go: 'continue' } : { go: 'start' };
  const head = await readHead(saver, thread);
  if (!head || writerOf(head) !== runId) return fromBase(graph, saver, claim);

  const standing = await standingOf(graph, saver, thread);
  if (!standing || standing.pending.length === 0)
    return standing ? { go: 'done', standing } : { go: 'start' };
  const waits = standing.pending.every((task) => task.interrupts.length > 0);
  if (waits || atBreakpoint(graph, request, standing)) {
    return { go: 'park', questions: await openQuestions(saver, thread, standing), standing };
  }
  return { go: 'continue' };
}

/** The run has written no checkpoint yet. */
async function fromBase(graph: ExecutableGraph, saver: RedisSaver, claim: Claim): Promise<Resumption> {
  const { request, thread, attempt } = claim;
  if (!request.answers)
    return request.input === null && !request.command ? { go: 'continue' } : { go: 'start' };
  const standing = await standingOf(graph, saver, thread);
  const open = standing ? await openQuestions(saver, thread, standing) : [];
  const answered = open.filter((one) => request.answers && one.id in request.answers);
  const answers = Object.fromEntries(
    answered.flatMap((one) => {
      const answer = request.answers?.[one.id];
      return one.interruptId === undefined || answer === undefined ? [] : [[one.interruptId, answer]];
    }),
  );
  if (Object.keys(answers).length > 0) return { go: 'answer', answers };
  // A breakpoint is answered by going on. So is a question whose answer a former attempt has stored with its task.
  if (answered.length > 0 || attempt > 1) return { go: 'continue' };
  return { go: 'stale' };
}
