import type { RunError } from '@millrace/shared/contract/error';
import type { RunRecord } from '@millrace/shared/contract/run';
import { toWireJson } from '@millrace/shared/wire-json';
import type { RunOutcome } from '../use-cases/runs.ts';

/** Why a run failed, as the Agent Server's `error` event and `__error__` have it. */
export function wireError(error: RunError | undefined): { error: string; message: string } {
  return { error: error?.name ?? error?.code ?? 'Error', message: error?.message ?? 'The run failed' };
}

/** What an answer says that comes too late for another status than 200. */
export function lateErrorText(error: string, message: string): string {
  return JSON.stringify({ __error__: { error, message } });
}

/**
 * What a run left behind, as `wait` and `join` give it: the state's values, with `__interrupt__` when it waits for
 * an answer (empty for a breakpoint), or `__error__`. Always an object: the SDK looks into it.
 */
export function outcomeText(run: RunRecord, outcome: RunOutcome): string {
  if (run.status === 'failed') {
    const { error, message } = wireError(run.error);
    return lateErrorText(error, message);
  }
  if (run.status !== 'interrupted') return toWireJson(outcome.values ?? {});
  const interrupts = outcome.questions
    .filter((one) => one.kind !== 'breakpoint')
    .map((one) => ({ id: one.interruptId ?? one.id, value: one.value }));
  return toWireJson({ ...outcome.values, __interrupt__: interrupts });
}
