import { type EffectAnswer, effectAnswer } from '@millrace/shared/contract/effect';
import { Refusal } from '@millrace/shared/contract/error';
import type { Json } from '@millrace/shared/contract/json';
import type { Question } from '@millrace/shared/contract/run';
import type { Services } from '../services.ts';
import type { RunOrder } from './run-order.ts';

/** Answers keyed twice: by question, which is never reused, and by LangGraph's interrupt id, which resumes. */
export interface Answers {
  byQuestion: Record<string, Json>;
  byInterrupt: Record<string, Json>;
  /** When it is effects that are asked about: what to do about them, and the run that asks. */
  effects?: { decisions: Record<string, EffectAnswer>; asked: string };
}

interface Asked {
  /** The newest run of the thread's parked chain. */
  run: string;
  questions: Question[];
}

/** Answers no question, so that the store refuses it as stale (or finds the order to be a repeated one). */
const NOTHING_OPEN: Answers = { byQuestion: { '': null }, byInterrupt: {} };

/**
 * Says for which open questions an order's answer is: by question id, by LangGraph's interrupt ids, or the only
 * one there is. `input: null` continues from a breakpoint.
 *
 * @returns undefined when the order is no answer
 * @throws Refusal `ambiguous_answer`, `invalid_request` for an answer about an effect that says nothing
 */
export async function keyAnswers(
  services: Services,
  tenant: string,
  thread: string,
  order: Pick<RunOrder, 'answers' | 'command' | 'input' | 'kind'>,
): Promise<Answers | undefined> {
  const resume = order.command?.resume;
  const isAnswer = order.answers !== undefined || resume !== undefined;
  const mayContinue =
    (order.kind ?? 'graph') === 'graph' && order.input == null && order.command === undefined;
  if (!isAnswer && !mayContinue) return undefined;

  const asked = await openQuestions(services, tenant, thread);
  const { questions: open } = asked;
  if (!isAnswer) {
    if (open.length === 0 || open.some((one) => one.kind !== 'breakpoint')) return undefined;
    return toAnswers(
      asked,
      'input',
      open.map((one) => [one, true]),
    );
  }
  if (order.answers) {
    const entries = Object.entries(order.answers).map(
      ([id, answer]) => [open.find((one) => one.id === id), answer] as const,
    );
    if (entries.length === 0 || entries.some(([one]) => !one)) return NOTHING_OPEN;
    return toAnswers(asked, 'answers', entries as [Question, Json][]);
  }
  if (resume === undefined || open.length === 0) return NOTHING_OPEN;
  const byInterrupt = keyedByInterrupt(resume, open);
  if (byInterrupt) return toAnswers(asked, 'command.resume', byInterrupt);
  if (namesInterrupts(resume)) return NOTHING_OPEN;
  const [only] = open;
  if (open.length === 1 && only) return toAnswers(asked, 'command.resume', [[only, resume]]);
  const ids = open.map((one) => one.interruptId ?? one.id).join(', ');
  throw new Refusal(
    'ambiguous_answer',
    `Several questions are open; give an object with an answer for one or more of the interrupt ids: ${ids}`,
    { field: 'command.resume' },
  );
}

async function openQuestions(services: Services, tenant: string, thread: string): Promise<Asked> {
  const parked = (await services.store.read.thread(tenant, thread))?.parked;
  const chain = parked === undefined ? undefined : await services.store.read.chain(tenant, parked);
  return { run: chain?.newestRun ?? '', questions: chain?.questions ?? [] };
}

function keyedByInterrupt(resume: Json, open: Question[]): [Question, Json][] | undefined {
  if (typeof resume !== 'object' || resume === null || Array.isArray(resume)) return undefined;
  const entries = Object.entries(resume).map(
    ([id, answer]) => [open.find((one) => one.interruptId === id || one.id === id), answer] as const,
  );
  return entries.length > 0 && entries.every(([one]) => one) ? (entries as [Question, Json][]) : undefined;
}

/**
 * Whether an answer is for interrupts by their ids, as LangGraph tells: every key is a hash. One that names none
 * that is open comes too late, and is no answer to whatever is asked now.
 */
function namesInterrupts(resume: Json): boolean {
  if (typeof resume !== 'object' || resume === null || Array.isArray(resume)) return false;
  const keys = Object.keys(resume);
  return keys.length > 0 && keys.every((key) => /^[0-9a-f]{32}$/.test(key));
}

function toAnswers(asked: Asked, field: string, entries: [Question, Json][]): Answers {
  const effects = entries.filter(([one]) => one.kind === 'unknown_effect');
  return {
    byQuestion: Object.fromEntries(entries.map(([one, answer]) => [one.id, answer])),
    byInterrupt: Object.fromEntries(
      entries.flatMap(([one, answer]) => (one.interruptId === undefined ? [] : [[one.interruptId, answer]])),
    ),
    ...(effects.length > 0 && {
      effects: {
        asked: asked.run,
        decisions: Object.fromEntries(effects.map(([one, answer]) => [one.id, toDecision(field, answer)])),
      },
    }),
  };
}

function toDecision(field: string, answer: Json): EffectAnswer {
  const parsed = effectAnswer.safeParse(answer);
  if (parsed.success) return parsed.data;
  const fault = [field, ...(parsed.error.issues[0]?.path ?? [])].join('.');
  throw new Refusal(
    'invalid_request',
    `${fault}: a tool of unknown outcome is asked about; answer {"action": "repeat"}, {"action": "skip", "result": …} or {"action": "fail"}`,
    { field: fault },
  );
}
