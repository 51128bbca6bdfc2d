import { json } from '@millrace/shared/contract/json';
import { hasEnded, type Question, type RunRecord } from '@millrace/shared/contract/run';
import { z } from 'zod';
import type { Services } from '../services.ts';
import { outcomeOf } from '../use-cases/runs.ts';

/** Body of `POST /message`: something to say, or the answer to what the thread's run asked. */
export const messageBody = z
  .strictObject({
    query: z.string().regex(/\S/, 'must not be empty; say something').optional(),
    thread_id: z
      .string()
      .regex(/^[A-Za-z0-9._:@~-]{1,128}$/, 'must be 1 to 128 letters, digits or . _ : @ ~ -')
      .optional(),
    graph: z.string().min(1, 'must not be empty; leave it out for the default graph').optional(),
    command: z.strictObject({ resume: json }).optional(),
  })
  .superRefine((body, context) => {
    const fault = (field: string, message: string) =>
      context.addIssue({ code: 'custom', path: [field], message, input: body });
    if (body.command === undefined) {
      if (body.query === undefined) fault('query', 'is missing; give the message as a string');
      return;
    }
    if (body.query !== undefined) fault('query', 'cannot go with command; send one of them');
    if (body.thread_id === undefined)
      fault('thread_id', 'is missing; command answers a question of a thread');
  });
export type MessageBody = z.infer<typeof messageBody>;

interface WireQuestion {
  id: string;
  kind: Question['kind'];
  node: string;
  /** LangGraph's name for it: an answer to one of several questions is `{"resume": {"<interrupt_id>": answer}}`. */
  interrupt_id?: string;
  value?: unknown;
}

/** A message's run as this face shows it. */
export interface MessageView {
  thread_id: string;
  run_id: string;
  status: RunRecord['status'];
  /** The agent's words, once it has succeeded; null when it gave none. */
  answer?: string | null;
  /** The state's values in place of an answer in words. */
  output?: unknown;
  /** Why it failed. */
  error?: { code: string; message: string };
  /** What it asks before it goes on. */
  questions?: WireQuestion[];
}

export async function viewOf(services: Services, run: RunRecord): Promise<MessageView> {
  const view: MessageView = { thread_id: run.thread, run_id: run.id, status: run.status };
  if (!hasEnded(run.status)) return view;
  if (run.status === 'succeeded') {
    view.answer = run.answer ?? null;
    if (run.answer === undefined) {
      const { values } = await outcomeOf(services, run);
      if (values !== undefined) view.output = values;
    }
  }
  if (run.error) view.error = { code: run.error.code, message: run.error.message };
  if (run.status === 'interrupted') view.questions = (run.questions ?? []).map(toWireQuestion);
  return view;
}

function toWireQuestion({ id, kind, node, interruptId, value }: Question): WireQuestion {
  return {
    id,
    kind,
    node,
    ...(interruptId !== undefined && { interrupt_id: interruptId }),
    ...(value !== undefined && { value }),
  };
}
