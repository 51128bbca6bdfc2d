import { isRedisFault } from '@millrace/shared/redis-fault';
import type { CallToolResult } from '@modelcontextprotocol/server';
import { waitForRun } from '../use-cases/runs.ts';
import { reportSteps } from './run-progress.ts';
import { acceptedResult, runResult } from './run-result.ts';
import { standingOf } from './standing.ts';
import type { ToolCall } from './tool-call.ts';

/** Waits for a run's end as long as the call may, telling of its steps. Waiting in vain is no error. */
export async function awaitRun(call: ToolCall, runId: string, timeoutMs = call.waitMs): Promise<void> {
  const watching = new AbortController();
  const reporting = reportSteps(call, runId, watching.signal);
  try {
    await waitForRun(call.services, call.tenant, runId, { timeoutMs, signal: call.signal });
  } finally {
    watching.abort();
    await reporting;
  }
}

/** What has become of a run that was just accepted, after a wait. Once accepted, its id is not lost to a fault. */
export async function awaitAccepted(
  call: ToolCall,
  accepted: { runId: string; thread: string },
): Promise<CallToolResult> {
  call.progress?.report('queued');
  try {
    await awaitRun(call, accepted.runId);
    return await runResult(call.services, await standingOf(call.services, call.tenant, accepted.runId));
  } catch (error) {
    if (!isRedisFault(error)) throw error;
    return acceptedResult(accepted.runId, accepted.thread);
  }
}
