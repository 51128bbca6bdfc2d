import { AIMessage, HumanMessage } from '@langchain/core/messages';
import { describe, expect, it } from 'vitest';
import { finalAnswer } from './answer.ts';

const image = { type: 'image', mimeType: 'image/png', data: 'aGk=' };
const after = (content: unknown) => [new HumanMessage('Hi'), { content }];

describe('the answer', () => {
  it.each<[string, Record<string, unknown>, unknown]>([
    [
      'the last message',
      { messages: [new AIMessage('One'), new AIMessage('Two')], answer: 'No' },
      { answer: 'Two' },
    ],
    [
      'the words of its blocks',
      { messages: after(['a', { type: 'text', text: 'b' }, { type: 'reasoning', reasoning: 'c' }]) },
      { answer: 'ab' },
    ],
    [
      'its words, and that there is more',
      { messages: after([{ type: 'text', text: 'b' }, image]) },
      { answer: 'b', media: true },
    ],
    [
      'that there is more, without words',
      { messages: after([{ type: 'image_url', image_url: { url: 'https://images.test/a.png' } }]) },
      { answer: '', media: true },
    ],
    ['the text of that name', { answer: 'Four', output: 'Five' }, { answer: 'Four' }],
    ['the output', { messages: [], output: 'Five' }, { answer: 'Five' }],
    ['everything', { answer: [image], n: 1 }, { answer: JSON.stringify({ answer: [image], n: 1 }) }],
  ])('is %s', (_, values, expected) => {
    expect(finalAnswer(values)).toEqual(expected);
  });
});
