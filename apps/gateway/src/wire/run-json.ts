import type { MultitaskStrategy, RunRecord } from '@millrace/shared/contract/run';

export const wireRunStatuses = ['pending', 'running', 'success', 'error', 'timeout', 'interrupted'] as const;
export type WireRunStatus = (typeof wireRunStatuses)[number];

/** A run as the Agent Server shows it. Times are ISO 8601. */
export interface WireRun {
  run_id: string;
  thread_id: string;
  assistant_id: string;
  created_at: string;
  updated_at: string;
  status: WireRunStatus;
  metadata: Record<string, unknown>;
  kwargs: Record<string, unknown>;
  /** Null once the thread is not asked about it any more: it matters at the submit alone. */
  multitask_strategy: MultitaskStrategy | null;
}

export function wireStatus(run: Pick<RunRecord, 'status' | 'error'>): WireRunStatus {
  switch (run.status) {
    case 'queued':
      return 'pending';
    case 'running':
      return 'running';
    case 'succeeded':
      return 'success';
    case 'failed':
      return run.error?.code === 'timeout' ? 'timeout' : 'error';
    case 'interrupted':
    case 'cancelled':
      return 'interrupted';
  }
}

export function toWireRun(run: RunRecord, multitask?: MultitaskStrategy): WireRun {
  const { request } = run;
  const { command, resume } = request;
  return {
    run_id: run.id,
    thread_id: run.thread,
    assistant_id: request.assistantId,
    created_at: new Date(run.createdAt).toISOString(),
    updated_at: new Date(run.updatedAt).toISOString(),
    status: wireStatus(run),
    metadata: request.metadata ?? {},
    kwargs: {
      input: request.input ?? null,
      command: command || resume ? { ...command, ...(resume && { resume }) } : null,
      config: {
        ...request.config,
        ...(request.recursionLimit !== undefined && { recursion_limit: request.recursionLimit }),
      },
      context: request.context ?? null,
      stream_mode: request.streamModes,
      interrupt_before: request.interruptBefore ?? null,
      interrupt_after: request.interruptAfter ?? null,
      checkpoint_id: request.checkpointId ?? null,
      subgraphs: request.streamSubgraphs ?? false,
      resumable: true,
    },
    multitask_strategy: multitask ?? null,
  };
}
