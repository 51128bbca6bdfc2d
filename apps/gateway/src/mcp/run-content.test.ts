import type { Json, JsonObject } from '@millrace/shared/contract/json';
import type { ContentBlock } from '@modelcontextprotocol/server';
import { describe, expect, it } from 'vitest';
import { contentOf, lastMessageOf, withKnownContent } from './run-content.ts';

const text = { type: 'text' as const, text: 'A drawing:' };
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

describe('the last message', () => {
  const saying = (...content: Json[]) => lastMessageOf({ messages: [{ content: 'Hi' }, { content }] });

  it('is its words, images, sound and links, and nothing else', () => {
    expect(
      saying(
        { type: 'reasoning', reasoning: 'Hm' },
        text,
        { ...image, id: 'lc_1' },
        { type: 'audio', source_type: 'base64', data: 'aGk=', mime_type: 'audio/wav' },
        { type: 'tool_call', name: 'draw', args: {}, id: '1' },
        { type: 'image', url: 'https://images.test/a/b.png', mimeType: 'image/png' },
        { type: 'image_url', image_url: { url: 'data:image/png;base64,aGk=' } },
        { type: 'image_url', image_url: 'https://images.test/' },
        { type: 'image_url', image_url: { url: 'data:image/svg+xml;charset=utf-8;base64,aGk=' } },
        { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'aGk=' } },
        'Good?',
        resource,
      ),
    ).toEqual([
      text,
      image,
      audio,
      { type: 'resource_link', uri: 'https://images.test/a/b.png', name: 'b.png', mimeType: 'image/png' },
      image,
      { type: 'resource_link', uri: 'https://images.test/', name: 'https://images.test/' },
      { type: 'image', data: 'aGk=', mimeType: 'image/svg+xml' },
      image,
      { type: 'text', text: 'Good?' },
      resource,
    ]);
  });

  it.each<[string, JsonObject]>([
    ['no message', { messages: [] }],
    ['words', { messages: [{ content: 'Hi' }] }],
    [
      'an image without data',
      { messages: [{ content: [{ type: 'image' }, { type: 'image_url' }, null, 7] }] },
    ],
    ['an image that is not in base64', { messages: [{ content: [{ ...image, data: 'a-_k' }] }] }],
    [
      'an image whose data is a URL',
      { messages: [{ content: [{ ...image, data: 'data:image/png;base64,aGk=' }] }] },
    ],
    [
      'a URL of something else',
      { messages: [{ content: [{ type: 'image_url', image_url: 'data:text/plain,Hi' }] }] },
    ],
    ['no conversation', {}],
  ])('is nothing of the kind when it is %s', (_, values) => {
    expect(lastMessageOf(values)).toBeUndefined();
  });
});

describe('a link', () => {
  const link = { type: 'resource_link' as const, uri: 'https://images.test/b.png', name: 'b.png' };
  const result = { content: [text, link] as ContentBlock[], structuredContent: { a: 1 } };

  it.each(['2026-07-28', '2025-11-25', '2025-06-18'])('is one in %s', (revision) => {
    expect(withKnownContent(result, revision)).toBe(result);
  });

  it.each(['2025-03-26', null])('is text in %s', (revision) => {
    expect(withKnownContent(result, revision)).toEqual({
      ...result,
      content: [text, { type: 'text', text: link.uri }],
    });
  });
});
