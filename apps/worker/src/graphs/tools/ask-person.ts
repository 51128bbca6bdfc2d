import { interrupt } from '@langchain/langgraph';
import { tool } from 'langchain';
import { z } from 'zod';

/**
 * Tool `ask_person`: parks the run with the interrupt value `{question}` and, when the run is resumed, gives the
 * answer as text (anything but a string as JSON).
 */
export const askPerson = tool(
  ({ question }) => {
    const answer: unknown = interrupt({ question });
    return typeof answer === 'string' ? answer : (JSON.stringify(answer) ?? '');
  },
  {
    name: 'ask_person',
    description:
      'Asks a person a question and waits for the answer. Use it before anything that needs approval, and when only a person can know.',
    schema: z.object({ question: z.string().describe('The question, in one or two sentences') }),
  },
);
