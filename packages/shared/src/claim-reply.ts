import { runRequest } from './contract/run.ts';
import { parseEffects } from './effects.ts';
import type { ClaimResult, Job } from './run-moves.ts';

/** A claim's result out of what its script gives. */
export function claimResult(reply: unknown[], runId: string, nonce: string): ClaimResult {
  switch (reply[0]) {
    case 'claimed':
      return claimed(reply as (string | null)[], runId, nonce);
    case 'ended': {
      const [, job, token, tenant, thread, here] = reply as [string, string[], ...string[]];
      return {
        outcome: 'ended',
        job: toJob(job),
        token: Number(token),
        tenant: tenant ?? '',
        thread: thread ?? '',
        here: here === '1',
      };
    }
    case 'look':
      return { outcome: 'look', tenant: String(reply[1]), thread: String(reply[2]) };
    default:
      return { outcome: reply[0] as 'over' | 'not_head' | 'leased' | 'last_try' | 'later' };
  }
}

function claimed(reply: (string | null)[], runId: string, nonce: string): ClaimResult {
  const [, token, attempt, chain, tenant, thread, ...known] = reply;
  const [base, request, usedMs, createdAt, startedAt, baseStep, target, effects] = known;
  return {
    outcome: 'claimed',
    lease: { token: Number(token), nonce },
    runId,
    attempt: Number(attempt),
    chain: chain ?? '',
    tenant: tenant ?? '',
    thread: thread ?? '',
    base: base ?? undefined,
    request: runRequest.parse(JSON.parse(request ?? '')),
    usedMs: Number(usedMs ?? 0),
    createdAt: Number(createdAt),
    startedAt: Number(startedAt),
    baseStep: baseStep == null || baseStep === '' ? undefined : Number(baseStep),
    target: target ?? undefined,
    effects: parseEffects(effects),
  };
}

/** A job to ring as scripts name it: nothing when there is none. */
export function toJob(reply: string[] | undefined): Job | undefined {
  const [id, queue] = reply ?? [];
  return id !== undefined && queue !== undefined ? { id, queue } : undefined;
}
