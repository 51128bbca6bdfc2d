import { describe, expect, it } from 'vitest';
import { contentOf } from './run-content.ts';

const text = { type: 'text', text: 'A drawing:' };
const image = { type: 'image', data: 'aGk=', mimeType: 'image/png' };
const audio = { type: 'audio', data: 'aGk=', mimeType: 'audio/wav' };
const resource = { type: 'resource', resource: { uri: 'file:///a', mimeType: 'text/plain', text: 'a' } };

describe('an answer in blocks', () => {
  it.each(['answer', 'output'])('is the content, as %s', (name) => {
    expect(contentOf({ [name]: [text, image, audio, resource], other: 1 })).toEqual([
      text,
      image,
      audio,
      resource,
    ]);
  });

  it.each([
    ['a text', { answer: 'Hi', output: [image] }],
    ['nothing', {}],
    ['an empty list', { answer: [] }],
    ['a list of something else', { answer: [text, { type: 'image', url: 'https://images.test/a.png' }] }],
    ['a list of words', { answer: ['a', 'b'] }],
  ])('is none when it is %s', (_, values) => {
    expect(contentOf(values)).toBeUndefined();
  });
});
