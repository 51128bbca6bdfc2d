import type { Json } from '@millrace/shared/contract/json';
import type { ChainView } from '@millrace/shared/run-reader';
import { ProtocolError, ProtocolErrorCode } from '@modelcontextprotocol/server';
import type { Services } from '../../services.ts';
import { answerChain, cancelChain, isParked } from '../../use-cases/chains.ts';
import type { RunOrder } from '../../use-cases/run-order.ts';
import { outcomeOfForm } from './forms.ts';

/**
 * Takes a client's responses to what a chain asks, by question id. What is not asked is passed over, and so is what was put
 * off. A person who declines ends the chain: no graph takes "nobody says" for an answer.
 *
 * @returns whether a person has put an answer off
 * @throws ProtocolError naming a response that is none, before any of them counts
 * @throws Refusal when what goes on was not accepted
 */
export async function takeResponses(
  services: Services,
  by: Pick<RunOrder, 'tenant' | 'requestId' | 'span'>,
  view: ChainView,
  responses: Record<string, unknown>,
): Promise<boolean> {
  if (!isParked(view)) return false;
  const answers: Record<string, Json> = {};
  let declined = false;
  let putOff = false;
  for (const question of view.chain.questions) {
    if (!Object.hasOwn(responses, question.id)) continue;
    const outcome = outcomeOfForm(question, responses[question.id]);
    if (outcome.kind === 'fault') {
      throw new ProtocolError(
        ProtocolErrorCode.InvalidParams,
        `inputResponses["${question.id}"]: ${outcome.text}`,
      );
    }
    if (outcome.kind === 'answer') answers[question.id] = outcome.answer;
    declined ||= outcome.kind === 'declined';
    putOff ||= outcome.kind === 'open';
  }
  if (declined) await cancelChain(services, view);
  else await answerChain(services, by, view, answers);
  return putOff;
}
