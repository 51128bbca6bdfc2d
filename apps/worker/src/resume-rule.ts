import type { RedisSaver } from '@millrace/checkpoint-redis';
import type { Json } from '@millrace/shared/contract/json';
import type { Question } from '@millrace/shared/contract/run';
import type { Claim } from '@millrace/shared/run-moves';
import type { ExecutableGraph } from './loader/executable-graph.ts';
import { atBreakpoint, isHeldInside, openQuestions } from './questions.ts';
import { readHead, type Standing, standingOf, writerOf } from './standing.ts';

/** What an attempt is to do with the graph. */
export type Resumption =
  /** Give it the run's input or command. `from`: not at the head, but at this checkpoint. */
  | { go: 'start'; from: string | undefined }
  /** Give it the answers to questions that are still open, by LangGraph's interrupt id. */
  | { go: 'answer'; answers: Record<string, Json> }
  /** Let it go on from where the thread stands, or from the given checkpoint. */
  | { go: 'continue'; from: string | undefined }
  /** It waits for answers: ask, and invoke nothing. */
  | { go: 'park'; questions: Question[]; standing: Standing }
  /** It is through: a former attempt did all but say so. */
  | { go: 'done'; standing: Standing }
  /** The next step has nodes that this graph has not. */
  | { go: 'stranded'; standing: Standing }
  /** The question was open when the answer was accepted, and is no more. */
  | { go: 'stale' }
  /** The run whose work it goes on with is no longer what the thread is at. */
  | { go: 'moved' };

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
  const { request, thread, runId } = claim;
  const { goesOn } = request;
  const base = goesOn?.base ?? claim.base;
  // No attempt has begun, so the head cannot be this run's.
  const head = base === undefined ? undefined : await readHead(saver, thread);
  const own = [runId, ...(goesOn?.runs ?? [])];
  const isOwn = head && own.includes(writerOf(head) ?? '');
  if (goesOn && base !== undefined && !isOwn && (head?.checkpoint.id ?? '') !== base) return { go: 'moved' };

  const standing = isOwn ? await standingOf(graph, saver, thread) : undefined;
  if (!standing) return fromBase(graph, saver, claim, base);
  if (standing.missing.length > 0) return { go: 'stranded', standing };
  if (standing.through) return { go: 'done', standing };
  // All that the step had to do is stored, and nobody can be asked about what is done. LangGraph stores the step, and stops at
  // whatever stands after it.
  if (standing.pending.length === 0) return { go: 'continue', from: undefined };
  const waits = standing.pending.every((task) => task.interrupts.length > 0);
  const stopped = atBreakpoint(graph, request, standing);
  // Of a step only the whole can be invoked: one part that must wait makes the others wait with it.
  if (waits || standing.pending.some(isHeldInside) || stopped) {
    return { go: 'park', questions: await openQuestions(saver, thread, standing, stopped), standing };
  }
  return { go: 'continue', from: undefined };
}

/** The run has written no checkpoint yet. */
async function fromBase(
  graph: ExecutableGraph,
  saver: RedisSaver,
  { request, thread }: Claim,
  base: string | undefined,
): Promise<Resumption> {
  const { checkpointId: from } = request;
  if (!request.answers && (request.input !== null || request.command)) return { go: 'start', from };
  const standing = await standingOf(graph, saver, thread, request.answers ? undefined : from);
  if (standing && standing.missing.length > 0) return { go: 'stranded', standing };
  if (!request.answers) return { go: 'continue', from };
  // The thread parked here, and nothing has moved since. Later attempts may have moved it.
  const stopped = standing !== undefined && (base === undefined || atBreakpoint(graph, request, standing));
  const questions = standing ? await openQuestions(saver, thread, standing, stopped) : [];
  const given = request.answers;
  const isAnswered = (one: Question) => one.id in given;
  const answers = Object.fromEntries(
    questions.flatMap((one) => {
      const answer = given[one.id];
      return one.interruptId === undefined || answer === undefined ? [] : [[one.interruptId, answer]];
    }),
  );
  // A former attempt went past its own breakpoint to another one.
  if (standing && questions.some((one) => one.kind === 'breakpoint' && !isAnswered(one))) {
    return { go: 'park', questions, standing };
  }
  if (Object.keys(answers).length > 0) return { go: 'answer', answers };
  // A breakpoint is answered by going on. So is a question whose answer a former attempt has stored with its task.
  if (questions.some(isAnswered) || base !== undefined) return { go: 'continue', from: undefined };
  return { go: 'stale' };
}
