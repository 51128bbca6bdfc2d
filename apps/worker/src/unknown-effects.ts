import type { RedisSaver } from '@millrace/checkpoint-redis';
import type { Effect } from '@millrace/shared/contract/effect';
import type { Json } from '@millrace/shared/contract/json';
import type { Question } from '@millrace/shared/contract/run';
import type { Claim } from '@millrace/shared/run-moves';
import type { RunStore } from '@millrace/shared/run-store';
import { type AttemptResult, failed, parked } from './attempt-result.ts';
import { questionId } from './questions.ts';
import { hasResult } from './standing.ts';

/**
 * Asks a person about calls of former attempts that nobody knows the outcome of, and heeds what they answered.
 *
 * @returns how the attempt ends because of it; undefined when there is nothing (more) to ask, and the graph may go on
 */
export async function settleEffects(
  store: RunStore,
  saver: RedisSaver,
  claim: Claim,
): Promise<AttemptResult | undefined> {
  const unknown = await unknownEffects(saver, claim);
  if (unknown.length === 0) return undefined;
  const { runId, lease, request } = claim;
  const answered = unknown.flatMap((one) => {
    const answer = request.decisions?.[idOf(one)];
    return answer ? [{ id: one.id, tool: one.tool, answer }] : [];
  });
  for (const { tool, answer } of answered) {
    if (answer.action !== 'fail') continue;
    const reason = answer.reason ?? `Nobody knows whether the tool "${tool}" has done its work.`;
    return failed('unknown_effect', reason, unknown[0]?.root);
  }
  const decisions = answered.flatMap(({ id, answer }) =>
    answer.action === 'fail'
      ? []
      : [{ id, decision: answer.action, ...(answer.action === 'skip' && { result: answer.result }) }],
  );
  if (decisions.length > 0 && (await store.effects.decide(runId, lease, decisions)) === 'lost') {
    return { result: 'lost' };
  }
  const left = unknown.filter((one) => !decisions.some(({ id }) => id === one.id));
  return left.length === 0 ? undefined : askAbout(left);
}

/** The end of a run that cannot go on before a person has said something about these. */
export function askAbout(effects: Effect[]): AttemptResult {
  return { result: 'end', end: parked(effects.map(questionOf), effects[0]?.root ?? '') };
}

/** Calls that have begun, did not return, and whose tasks will be executed again. */
async function unknownEffects(saver: RedisSaver, { effects, thread }: Claim): Promise<Effect[]> {
  const open = effects.filter((one) => one.output === undefined && one.decision === undefined);
  const pending = await Promise.all(open.map((one) => isPending(saver, thread, one)));
  return open.filter((_, i) => pending[i]);
}

/** Whether no task around a call, nor its own, has a result: neither stored, nor gone into a later checkpoint. */
async function isPending(saver: RedisSaver, thread: string, { places }: Effect): Promise<boolean> {
  for (const { namespace, checkpoint, task } of places) {
    const head = await saver.getTuple({ configurable: { thread_id: thread, checkpoint_ns: namespace } });
    if (head?.checkpoint.id !== checkpoint || (head && hasResult(head, task))) return false;
  }
  return true;
}

function idOf({ id, root, times }: Effect): string {
  return questionId(root, `effect ${id}`, times);
}

function questionOf(effect: Effect): Question {
  const { tool, toolCallId, args, began, node, places } = effect;
  return {
    id: idOf(effect),
    kind: 'unknown_effect',
    node,
    ...(places[0] && { task: places[0].task }),
    value: {
      message: `The tool "${tool}" must not be repeated. It was called, and its worker was gone before it returned. Find out whether it has done its work.`,
      tool,
      ...(toolCallId !== undefined && { tool_call_id: toolCallId }),
      args: jsonOr(args),
      began_at: new Date(began).toISOString(),
      answers: [
        { action: 'repeat' },
        { action: 'skip', result: 'what the tool is to have returned' },
        { action: 'fail' },
      ],
    },
  };
}

/** Cut text is none. */
function jsonOr(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}
