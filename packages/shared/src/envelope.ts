import { RUN_RECORD_VERSION, type RunRequest } from './contract/run.ts';
import { threadKey } from './keys.ts';
import type { Retention, Submission } from './run-moves.ts';

/** How long a key of idempotency is known after its last use. */
export const IDEMPOTENCY_MS = 24 * 3600 * 1000;

/** What the submit script is told of a run, beside its request and its id. */
export function envelopeOf(s: Submission, retention: Retention): Record<string, unknown> {
  const key = threadKey(s.tenant, s.thread);
  const answered = s.rerun === undefined ? (s.request.decisions ?? s.request.answers) : undefined;
  return {
    version: RUN_RECORD_VERSION,
    tenant: s.tenant,
    thread: s.thread,
    threadKey: key,
    createThread: s.createThread,
    throwaway: s.throwaway ?? false,
    threadTtlMs: s.throwaway ? retention.runsMs : retention.threadsMs,
    retentionMs: retention.runsMs,
    runsKept: retention.runsKept,
    kind: s.request.kind,
    graph: s.request.graph,
    assistant: s.request.assistantId,
    queue: s.queue,
    multitask: s.multitask,
    afterMs: s.afterMs,
    chain: s.chain,
    rerun: s.rerun,
    answers: answered && Object.keys(answered),
    continues: isContinuation(s.request),
    idempotencyKey: s.idempotency && idempotencyId(key, s.idempotency.key),
    bodyHash: s.idempotency?.bodyHash,
    idempotencyTtlMs: IDEMPOTENCY_MS,
  };
}

/** A caller's key within a thread, whose name is as `threadKey` has it. */
export function idempotencyId(thread: string, key: string): string {
  return `${thread}/${encodeURIComponent(key)}`;
}

/** Goes on from where the thread stands, with nothing new to say. */
function isContinuation(request: RunRequest): boolean {
  const { kind, input, answers, command, checkpointId, goesOn } = request;
  return kind === 'graph' && input === null && !answers && !command && !goesOn && checkpointId === undefined;
}
