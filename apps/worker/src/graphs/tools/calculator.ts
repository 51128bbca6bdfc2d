import { tool } from 'langchain';
import { z } from 'zod';
import { evaluateArithmetic, formatNumber } from './arithmetic.ts';

/** Tool `calculator`: `{expression}` in, the value as text out. A bad expression is a tool error that says what is wrong. */
export const calculator = tool(({ expression }) => formatNumber(evaluateArithmetic(expression)), {
  name: 'calculator',
  description: 'Works out an arithmetic expression exactly. Use it for every calculation.',
  schema: z.object({
    expression: z.string().describe('Numbers, + - * / % ^ and parentheses, for example 12*(3+4)'),
  }),
});
