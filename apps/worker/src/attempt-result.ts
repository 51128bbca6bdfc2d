import type { Finish } from '@millrace/shared/run-moves';
import { finalAnswer } from './answer.ts';
import type { Attempt } from './attempt.ts';
import { onlyTogether } from './questions.ts';
import type { Resumption } from './resume-rule.ts';
import { toRunError } from './run-error.ts';

/** How an attempt came out: an end for the run, back to the queue, or nothing to say any more. */
export type AttemptResult =
  | { result: 'end'; end: Finish }
  | { result: 'hand_back'; delayMs: number }
  | { result: 'lost' };

/** How long a run waits whose worker cannot do anything for it now. */
export const ANOTHER_TIME_MS = 1_000;

export function failed(
  code: NonNullable<Finish['error']>['code'],
  message: string,
  checkpoint?: string,
): AttemptResult {
  return {
    result: 'end',
    end: { status: 'failed', error: { code, message }, ...(checkpoint !== undefined && { checkpoint }) },
  };
}

/** The end of a run for which nothing needs to be invoked. */
export function withoutInvoking(resume: Resumption): AttemptResult | undefined {
  switch (resume.go) {
    case 'park':
      return { result: 'end', end: parked(resume.questions, resume.standing.checkpointId) };
    case 'done': {
      const { checkpointId, values } = resume.standing;
      return {
        result: 'end',
        end: { status: 'succeeded', checkpoint: checkpointId, ...finalAnswer(values) },
      };
    }
    case 'stale':
      return failed('invalid_input', 'The question this answers is no longer open.');
    case 'moved':
      return failed('invalid_input', 'The thread has moved on; send a new message to go on from there.');
    default:
      return undefined;
  }
}

export function parked(questions: NonNullable<Finish['questions']>, checkpoint: string): Finish {
  return { status: 'interrupted', checkpoint, questions, whole: onlyTogether(questions) };
}

/**
 * What an error means that came out of the graph or out of storage.
 *
 * @param checkpoint the newest one of this attempt
 */
export function afterError(
  attempt: Attempt,
  error: unknown,
  timeLimitMs: number,
  checkpoint: string | undefined,
): AttemptResult {
  if (attempt.stopReason === 'lost' || isNamed(error, 'FenceError')) return { result: 'lost' };
  if (attempt.stopReason === 'cancelled') {
    return { result: 'end', end: { status: 'cancelled', ...(checkpoint !== undefined && { checkpoint }) } };
  }
  if (attempt.stopReason === 'refused' || isNamed(error, 'StorageRefusal')) {
    return { result: 'hand_back', delayMs: ANOTHER_TIME_MS };
  }
  if (attempt.stopReason === 'timeout') {
    return failed('timeout', `The run used up its ${Math.round(timeLimitMs / 1000)} s.`, checkpoint);
  }
  if (attempt.stopReason === 'drain' || isNamed(error, 'GraphDrained'))
    return { result: 'hand_back', delayMs: 0 };
  const end: Finish = { status: 'failed', error: toRunError(error, checkpoint !== undefined) };
  return { result: 'end', end: { ...end, ...(checkpoint !== undefined && { checkpoint }) } };
}

function isNamed(error: unknown, name: string): boolean {
  if (error instanceof AggregateError && error.errors.some((one) => isNamed(one, name))) return true;
  return error instanceof Error && (error.name === name || isNamed(error.cause, name));
}
