import type { Json } from '@millrace/shared/contract/json';
import type { Question } from '@millrace/shared/contract/run';
import { isSpecType } from '@modelcontextprotocol/server';
import { describe, expect, it } from 'vitest';
import { formOf, outcomeOfForm } from './forms.ts';

const interrupt = (value?: Json): Question => ({ id: 'q', kind: 'interrupt', node: 'ask', value });
const effect: Question = { id: 'q', kind: 'unknown_effect', node: 'tools', value: { tool: 'pay' } };
const accept = (question: Question, content: object) =>
  outcomeOfForm(question, { action: 'accept', content });

const approval = (...allowed: string[][]) =>
  interrupt({
    actionRequests: allowed.map((_, i) => ({ name: `tool${i}`, args: { n: i } })),
    reviewConfigs: allowed.map((allowedDecisions, i) => ({ actionName: `tool${i}`, allowedDecisions })),
  });

it.each<[string, Question, string]>([
  ['a text', interrupt('Sure?'), 'Sure?'],
  ['a question', interrupt({ question: 'Sure?' }), 'Sure?'],
  ['nothing', interrupt(), '"ask" asks: null'],
  ['anything', interrupt([1, 2]), '"ask" asks: [1,2]'],
  [
    'a breakpoint',
    { id: 'q', kind: 'breakpoint', node: 'pay' },
    'May it go on past the breakpoint at "pay"?',
  ],
  ['an effect', effect, 'Nobody knows whether this call was made: {"tool":"pay"}'],
  ['an approval', approval(['approve', 'edit', 'reject']), 'May this tool be called?'],
])('%s is a form that clients can show', (_, question, message) => {
  const { params } = formOf(question);
  expect(isSpecType.ElicitRequestFormParams(params)).toBe(true);
  expect(params.message).toBe(message);
});

describe('an interrupt with a schema of its own', () => {
  const requestedSchema = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] };

  it('is asked with it, and gets what fits', () => {
    const question = interrupt({ message: 'How many?', requestedSchema });
    expect(formOf(question).params).toMatchObject({ message: 'How many?', requestedSchema });
    expect(accept(question, { n: 3 })).toEqual({ kind: 'answer', answer: { n: 3 } });
    expect(accept(question, { n: 'three' })).toMatchObject({ kind: 'fault' });
  });

  it.each([
    ['nested', { type: 'object', properties: { deep: { type: 'object', properties: {} } } }],
    ['no object', { type: 'string' }],
    ['no schema', 'yes'],
  ])('is asked for a text when that is %s', (_, requestedSchema) => {
    const { properties } = formOf(interrupt({ message: 'What?', requestedSchema })).params.requestedSchema;
    expect(Object.keys(properties)).toEqual(['answer']);
  });
});

it('a text is the answer itself; what else was filled in is the answer as it is', () => {
  expect(accept(interrupt('Sure?'), { answer: 'yes' })).toEqual({ kind: 'answer', answer: 'yes' });
  expect(accept(interrupt('Sure?'), { confirm: true })).toEqual({
    kind: 'answer',
    answer: { confirm: true },
  });
});

it('an effect is answered as the other faces have it', () => {
  expect(accept(effect, { action: 'repeat' })).toEqual({ kind: 'answer', answer: { action: 'repeat' } });
  const skipped = { action: 'skip', result: 'paid' };
  expect(accept(effect, skipped)).toEqual({ kind: 'answer', answer: skipped });
  expect(accept(effect, { action: 'skip' })).toEqual({
    kind: 'answer',
    answer: { action: 'skip', result: '' },
  });
  expect(accept(effect, {})).toMatchObject({ kind: 'fault' });
});

describe('an approval of tool calls', () => {
  it('gets a decision for each', () => {
    const question = approval(['approve', 'reject'], ['approve', 'edit', 'reject']);
    const content = { decision_1: 'approve', decision_2: 'reject', reason_2: 'Too dear' };
    expect(accept(question, content)).toEqual({
      kind: 'answer',
      answer: { decisions: [{ type: 'approve' }, { type: 'reject', message: 'Too dear' }] },
    });
    expect(accept(question, { decision_1: 'approve' })).toEqual({
      kind: 'fault',
      text: 'content.decision_2 must be approve or reject',
    });
  });

  it('is a text where only an edit is allowed', () => {
    expect(formOf(approval(['edit'])).params.requestedSchema.required).toEqual(['answer']);
  });
});
