import { describe, expect, it } from 'vitest';
import { getPrompt, graphPrompts } from './prompts.ts';
import { catalogEntry } from './test-gateway.ts';

const review = {
  name: 'review_file',
  arguments: [{ name: 'file', description: 'A path', required: true }, { name: 'what' }],
  messages: [
    { role: 'user' as const, content: 'Review {{file}} for {{ what }}{{file}}' },
    { role: 'assistant' as const, content: 'I will.' },
  ],
};
const prompts = graphPrompts([
  catalogEntry('agent', { prompts: [review] }),
  catalogEntry('older'),
  catalogEntry('other', { prompts: [{ ...review, title: 'Look', description: 'Looks' }] }),
]);

describe('prompts of graphs', () => {
  it('have names that are theirs alone, in an order that stays', () => {
    expect(prompts.map((one) => one.definition)).toEqual([
      {
        name: 'agent.review_file',
        title: 'Review file',
        arguments: [
          { name: 'file', description: 'A path', required: true },
          { name: 'what', required: false },
        ],
      },
      expect.objectContaining({ name: 'other.review_file', title: 'Look', description: 'Looks' }),
    ]);
  });

  it('take what they are given as it is, and nothing for what they are not', () => {
    expect(getPrompt(prompts, 'agent.review_file', { file: '{{what}}$&' })).toEqual({
      messages: [
        { role: 'user', content: { type: 'text', text: 'Review {{what}}$& for {{what}}$&' } },
        { role: 'assistant', content: { type: 'text', text: 'I will.' } },
      ],
    });
  });

  it.each([
    ['agent.review_file', {}, 'file is missing'],
    [
      'agent.review_file',
      { toString: 'x', line: '1' },
      'file is missing; toString is not known here; line is not known here',
    ],
    [
      'review_file',
      { file: 'x' },
      'There is no prompt "review_file"; there are: agent.review_file, other.review_file',
    ],
  ])('refuse %s with %j', (name, args, message) => {
    expect(() => getPrompt(prompts, name, args)).toThrow(
      expect.objectContaining({ code: -32602, message: expect.stringContaining(message) }),
    );
  });
});
