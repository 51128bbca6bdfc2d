import { Refusal } from '@millrace/shared/contract/error';
import type { JsonObject } from '@millrace/shared/contract/json';
import { type Question, questionKinds, type RunRecord, runStatuses } from '@millrace/shared/contract/run';
import { isRedisFault } from '@millrace/shared/redis-fault';
import { toWireJson } from '@millrace/shared/wire-json';
import type { CallToolResult, ContentBlock } from '@modelcontextprotocol/server';
import { z } from 'zod';
import type { Services } from '../services.ts';
import { outcomeOf } from '../use-cases/runs.ts';
import { contentOf, lastMessageOf } from './run-content.ts';
import type { Standing } from './standing.ts';

/** What every tool that is about a run returns as structured content. */
export const runOutput = z.object({
  run_id: z.string().describe('Give it to get_run, respond_run and cancel_run'),
  thread_id: z.string().describe('Give it to a later call to go on with this conversation'),
  status: z
    .enum(runStatuses)
    .describe('queued and running: not ended yet, use get_run. interrupted: asks something, use respond_run'),
  answer: z.string().optional().describe('What the agent answered'),
  values: z
    .record(z.string(), z.unknown())
    .optional()
    .describe("The graph's state at the end, when it is not a conversation"),
  questions: z
    .array(
      z.object({
        id: z.string(),
        kind: z.enum(questionKinds),
        node: z.string(),
        value: z.unknown().optional().describe('What is asked'),
      }),
    )
    .optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
});
export type RunOutput = z.infer<typeof runOutput>;

/** A run as the result of a tool call: its outcome, or what the caller can do to get there. */
export async function runResult(services: Services, { run, closed }: Standing): Promise<CallToolResult> {
  const output = outputOf(run);
  switch (run.status) {
    case 'queued':
    case 'running':
      return result(output, pendingText(run));
    case 'interrupted':
      if (closed) return closedResult(output, closed);
      output.questions = (run.questions ?? []).map(({ id, kind, node, value }) => ({
        id,
        kind,
        node,
        value,
      }));
      return result(output, questionsText(run.id, run.questions ?? []));
    case 'succeeded':
      return succeeded(services, run);
    case 'failed': {
      const { code, message } = run.error ?? { code: 'graph_error', message: 'no reason was recorded' };
      return failure(`The run failed (${code}): ${message}`, { ...output, error: { code, message } });
    }
    case 'cancelled':
      return closedResult(output, 'cancelled');
  }
}

async function succeeded(services: Services, run: RunRecord): Promise<CallToolResult> {
  const output = outputOf(run);
  const graph = (await services.catalog.list()).find((one) => one.graph === run.request.graph);
  // What is no conversation may have an answer too, but its outcome is its values.
  if (run.answer !== undefined && graph?.conversational !== false) {
    const said = { ...output, answer: run.answer };
    const content = run.media ? await messageOf(services, run) : undefined;
    return content ? { content, structuredContent: said } : result(said, run.answer);
  }
  const values = await valuesOf(services, run);
  if (!values) return result(output, run.answer ?? 'The run succeeded and left no values.');
  const content = contentOf(values) ?? [{ type: 'text', text: run.answer ?? JSON.stringify(values) }];
  return { content, structuredContent: { ...output, values } };
}

/** The message that is the answer; undefined when it cannot be read just now, and only its words are known. */
async function messageOf(services: Services, run: RunRecord): Promise<ContentBlock[] | undefined> {
  try {
    return lastMessageOf((await valuesOf(services, run)) ?? {});
  } catch (error) {
    if (isRedisFault(error) || error instanceof Refusal) return undefined;
    throw error;
  }
}

/** The state a run has ended with, as clients are shown it. */
async function valuesOf(services: Services, run: RunRecord): Promise<JsonObject | undefined> {
  const { values } = await outcomeOf(services, run);
  return values && (JSON.parse(toWireJson(values)) as JsonObject);
}

/** An accepted run of which no more is known just now. */
export function acceptedResult(runId: string, thread: string): CallToolResult {
  return result(
    { run_id: runId, thread_id: thread, status: 'queued' },
    `The run was accepted, but it cannot be watched just now. ${useGetRun(runId)}`,
  );
}

/** How cancelling went, told apart from the run's own outcome: a cancelled run is what the caller wanted. */
export function cancelResult({ run, closed }: Standing, before: RunRecord['status']): CallToolResult {
  const output = outputOf(run);
  const cancelled = run.status === 'cancelled' || closed !== undefined;
  if (cancelled) return result({ ...output, status: 'cancelled' }, 'The run is cancelled.');
  if (run.status === 'queued' || run.status === 'running') {
    return result(output, `The run was asked to stop and has not stopped yet. ${useGetRun(run.id)}`);
  }
  const when = before === run.status ? 'had ended' : 'ended before it could be stopped';
  return result(output, `The run ${when}: ${run.status}.`);
}

/** A refusal as something the model can read and act on. */
export function refusalResult(refusal: Refusal): CallToolResult {
  const { message, retryAfterSeconds: seconds } = refusal;
  return failure(seconds === undefined ? message : `${message}. Try again in ${seconds} s.`);
}

export function failure(text: string, output?: RunOutput): CallToolResult {
  return { content: [{ type: 'text', text }], isError: true, ...(output && { structuredContent: output }) };
}

function result(output: RunOutput, text: string): CallToolResult {
  return { content: [{ type: 'text', text }], structuredContent: output };
}

function closedResult(output: RunOutput, how: 'superseded' | 'cancelled'): CallToolResult {
  const text =
    how === 'cancelled'
      ? 'The run was cancelled.'
      : 'The run was superseded by a newer message in its thread; its questions are closed.';
  return failure(text, { ...output, status: 'cancelled' });
}

function outputOf(run: RunRecord): RunOutput {
  return { run_id: run.id, thread_id: run.thread, status: run.status };
}

function pendingText(run: RunRecord): string {
  const state = run.status === 'queued' ? 'is queued' : 'is at work';
  const stopping = run.cancelRequested ? ' and was asked to stop' : '';
  return `The run ${state}${stopping}; it goes on by itself. ${useGetRun(run.id)}`;
}

function useGetRun(runId: string): string {
  return `Call get_run with {"run_id": "${runId}"} to wait for its result.`;
}

function questionsText(runId: string, questions: Question[]): string {
  const asked = questions.map((one) =>
    one.kind === 'breakpoint'
      ? `Question ${one.id}: may it go on past the breakpoint at "${one.node}"?`
      : `Question ${one.id}, from "${one.node}": ${typeof one.value === 'string' ? one.value : JSON.stringify(one.value ?? null)}`,
  );
  const answer =
    questions.length === 1
      ? `"answer": <the answer, any JSON>`
      : `"answers": {${questions.map((one) => `"${one.id}": <answer>`).join(', ')}}`;
  return [
    'The run waits for an answer.',
    ...asked,
    `Call respond_run with {"run_id": "${runId}", ${answer}} once the answer is known.`,
  ].join('\n');
}
