import { Refusal } from '@millrace/shared/contract/error';
import type { Json } from '@millrace/shared/contract/json';
import { hasEnded } from '@millrace/shared/contract/run';
import type { CallToolResult, Tool } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { faultsOf } from '../http/faults.ts';
import { cancelRun } from '../use-cases/runs.ts';
import { submitRun } from '../use-cases/submit-run.ts';
import { awaitAccepted, awaitRun } from './await-run.ts';
import { cancelResult, failure, runResult } from './run-result.ts';
import { standingOf } from './standing.ts';
import type { ToolCall } from './tool-call.ts';
import { type handleToolNames, jsonSchemaOf, outputSchema, unknownEffects } from './tools.ts';

/** Clients give a request up after a minute unless told otherwise. */
const LONGEST_WAIT_SECONDS = 50;

const run_id = z
  .string()
  .min(1)
  .describe('As an earlier call returned it; it also finds the runs that followed it');

// Arguments come out of JSON, so any value is one; spelt out, the schema would be recursive, which models misread.
const anyJson = z.any() as z.ZodType<Json>;

const getRunArgs = z.strictObject({
  run_id,
  wait_seconds: z
    .number()
    .min(0)
    .max(LONGEST_WAIT_SECONDS)
    .optional()
    .describe(
      'How long to wait for the end; 0 to look only. When absent, as long as a call of an agent waits',
    ),
});

const respondRunArgs = z.strictObject({
  run_id,
  answer: anyJson.optional().describe('The answer, when one question is open; true passes a breakpoint'),
  answers: z
    .record(z.string(), anyJson)
    .optional()
    .describe('Answers by question id, when several are open. Those left out are asked again'),
});

const cancelRunArgs = z.strictObject({ run_id });

export const handleTools: Tool[] = [
  {
    name: 'get_run',
    title: 'Get a run',
    description:
      'Waits for a run that was still at work when its call returned, and gives its answer, its questions or why it failed.',
    inputSchema: jsonSchemaOf(getRunArgs),
    outputSchema,
    annotations: { title: 'Get a run', readOnlyHint: true, openWorldHint: false },
  },
  {
    name: 'respond_run',
    title: 'Answer a run',
    description:
      'Answers what an interrupted run asks, and waits for what comes of it. A question counts as answered once.',
    inputSchema: jsonSchemaOf(respondRunArgs),
    outputSchema,
    annotations: unknownEffects('Answer a run'),
  },
  {
    name: 'cancel_run',
    title: 'Cancel a run',
    description:
      'Stops a run, or closes the questions of one that waits for an answer. What it has done stays done.',
    inputSchema: jsonSchemaOf(cancelRunArgs),
    outputSchema,
    annotations: {
      title: 'Cancel a run',
      readOnlyHint: false,
      destructiveHint: true,
      idempotentHint: true,
      openWorldHint: false,
    },
  },
];

type Handle = (call: ToolCall, args: unknown) => Promise<CallToolResult>;

/** By tool name. @throws Refusal, `not_found` for a run that is not the tenant's included */
export const handles: Record<(typeof handleToolNames)[number], Handle> = {
  get_run: checked(getRunArgs, async (call, args) => {
    const { run } = await standingOf(call.services, call.tenant, args.run_id);
    if (!hasEnded(run.status)) {
      await awaitRun(call, run.id, args.wait_seconds === undefined ? call.waitMs : args.wait_seconds * 1000);
    }
    return runResult(call.services, await standingOf(call.services, call.tenant, run.id));
  }),

  respond_run: checked(respondRunArgs, async (call, args) => {
    const { run } = await standingOf(call.services, call.tenant, args.run_id);
    const accepted = await submitRun(call.services, {
      tenant: call.tenant,
      requestId: call.requestId,
      span: call.span,
      assistant: run.request.graph,
      thread: run.thread,
      chain: run.chain,
      answers:
        args.answers ??
        answerFor(
          (run.questions ?? []).map((one) => one.id),
          args.answer,
        ),
      streamModes: ['updates'],
      idempotency: call.idempotencyKey === undefined ? undefined : { key: call.idempotencyKey, body: args },
    });
    return awaitAccepted(call, accepted);
  }),

  cancel_run: checked(cancelRunArgs, async (call, args) => {
    const { run, closed } = await standingOf(call.services, call.tenant, args.run_id);
    if (closed === undefined) {
      await cancelRun(call.services, call.tenant, run.id);
      await awaitRun(call, run.id);
    }
    return cancelResult(await standingOf(call.services, call.tenant, run.id), run.status);
  }),
};

/**
 * Keys the one answer there is. Without an open question it is keyed to none, and it is for the store to say whether
 * that makes it stale or the repetition of an order it knows.
 */
function answerFor(open: string[], answer: Json | undefined): Record<string, Json> {
  if (answer === undefined) {
    throw new Refusal('invalid_request', 'Give "answer", or "answers" by question id', { field: 'answer' });
  }
  if (open.length > 1) {
    throw new Refusal(
      'ambiguous_answer',
      `Several questions are open; give "answers" with an answer for one or more of: ${open.join(', ')}`,
      { field: 'answers' },
    );
  }
  return { [open[0] ?? '']: answer };
}

function checked<T extends z.ZodType>(
  schema: T,
  run: (call: ToolCall, args: z.infer<T>) => Promise<CallToolResult>,
): Handle {
  return async (call, args) => {
    const parsed = schema.safeParse(args, { reportInput: true });
    if (parsed.success) return run(call, parsed.data);
    return failure(
      `The arguments are not valid: ${faultsOf(parsed.error)
        .map((one) => one.text)
        .join('; ')}`,
    );
  };
}
