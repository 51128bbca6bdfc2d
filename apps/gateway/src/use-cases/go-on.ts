import type { RunRecord, RunRequest } from '@millrace/shared/contract/run';

/**
 * What of a request makes a new run go on with the work of another, as that one's next attempt would: with its input or
 * answers, from its checkpoints.
 */
export function workOf(run: RunRecord) {
  const { input, command, answers, resume, checkpointId, goesOn } = run.request;
  const base = goesOn?.base ?? run.base;
  return {
    input,
    command,
    answers,
    resume,
    checkpointId,
    goesOn: { runs: [...(goesOn?.runs ?? []), run.id], base },
  } satisfies Partial<RunRequest>;
}
