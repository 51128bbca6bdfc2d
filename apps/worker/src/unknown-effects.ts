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
  const { runId, lease, thread, request } = claim;
  const unknown = claim.effects.filter((one) => one.output === undefined && one.decision === undefined);
  const decisions: Parameters<typeof store.effects.decide>[2] = [];
  for (const one of unknown) {
    const answer = request.decisions?.[idOf(one)];
    if (answer?.action === 'fail') {
      const reason = answer.reason ?? `Nobody knows whether the tool "${one.tool}" has done its work.`;
      return failed('unknown_effect', reason, one.root);
    }
    if (answer?.action === 'repeat') decisions.push({ id: one.id, decision: 'repeat' });
    if (answer?.action === 'skip') decisions.push({ id: one.id, decision: 'skip', result: answer.result });
  }
  if (decisions.length > 0 && (await store.effects.decide(runId, lease, decisions)) === 'lost') {
    return { result: 'lost' };
  }
  const undecided = unknown.filter((one) => !decisions.some(({ id }) => id === one.id));
  const pending = await Promise.all(undecided.map((one) => isPending(saver, thread, one)));
  const left = undecided.filter((_, i) => pending[i]);
  return left.length === 0 ? undefined : askAbout(left);
}

/** The end of a run that cannot go on before a person has said something about these. */
export function askAbout(effects: Effect[]): AttemptResult {
  return { result: 'end', end: parked(effects.map(questionOf), effects[0]?.root ?? '') };
}

/**
 * Whether a call's task will be executed again: neither it nor one around it has a result, stored or gone into a later
 * checkpoint.
 */
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
