import { expect, it } from 'vitest';
import { errorText, toolContent } from './tool-content.ts';

const data = Buffer.from('0123456789').toString('base64');
const text = (said: string) => ({ type: 'text' as const, text: said });
const image = { type: 'image' as const, mimeType: 'image/png', data };
const link = { type: 'resource_link' as const, uri: 'file:///a', name: 'a' };
const blob = {
  type: 'resource' as const,
  resource: { uri: 'file:///b', mimeType: 'application/pdf', blob: data },
};
const inner = { type: 'resource' as const, resource: { uri: 'file:///c', text: 'inside' } };

it('is text wherever it can be', () => {
  expect(toolContent({ content: [text('a')] })).toEqual(['a', undefined]);
  expect(toolContent({ content: [text('a'), inner, link] })[0]).toBe('a\n\ninside\n\na\nfile:///a');
  expect(toolContent({ content: [] })).toEqual(['', undefined]);
});

it('shows images to the model, tells of what it cannot read, and keeps all of it', () => {
  const [content, artifact] = toolContent({ content: [text('look'), image, blob] });
  expect(content).toEqual([
    text('look'),
    { type: 'image_url', image_url: { url: `data:image/png;base64,${data}` } },
    text('(file:///b: 10 bytes of application/pdf, which cannot be shown here)'),
  ]);
  expect(artifact).toEqual({ content: [text('look'), image, blob] });
});

it('keeps structured content beside its text, and gives it as text where there is none', () => {
  const structuredContent = { answer: 42 };
  expect(toolContent({ content: [text('42')], structuredContent, _meta: { a: 1 } })).toEqual([
    '42',
    { structuredContent },
  ]);
  expect(toolContent({ content: [], structuredContent })[0]).toBe('{"answer":42}');
});

it('has words for an error', () => {
  expect(errorText({ content: [text('no'), link], isError: true })).toBe('no\n\na\nfile:///a');
  expect(errorText({ content: [], isError: true })).toBe('the tool failed without a word');
});
