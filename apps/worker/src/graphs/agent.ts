import type { BaseChatModel } from '@langchain/core/language_models/chat_models';
import type { StructuredToolInterface } from '@langchain/core/tools';
import { createAgent } from 'langchain';
import { askPerson } from './tools/ask-person.ts';
import { calculator } from './tools/calculator.ts';
import { currentTime } from './tools/current-time.ts';

/** What the catalog says of the built-in graph. */
export const AGENT_DESCRIPTION =
  'A conversational agent that calculates, tells the time, and asks a person when it needs an approval.';

/**
 * The built-in graph `agent`: model and tools in a loop, on a `messages` channel.
 * @param more tools beside its own
 * @returns the compiled graph, without a checkpointer; the worker binds one for each attempt.
 */
export function makeAgent(model: BaseChatModel, more: readonly StructuredToolInterface[] = []) {
  return createAgent({
    model,
    tools: [calculator, currentTime, askPerson, ...more],
    name: 'agent',
    systemPrompt:
      'You are a helpful assistant. Use the tools instead of guessing: the calculator for arithmetic, current_time ' +
      'for dates and times, ask_person before anything that needs approval. Answer briefly.',
  }).graph;
}
