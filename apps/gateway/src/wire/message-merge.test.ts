import { describe, expect, it } from 'vitest';
import { mergeChunks } from './message-merge.ts';

const chunk = (more: object) =>
  ({ type: 'ai', id: 'm', content: '', tool_call_chunks: [], ...more }) as never;

describe('parts of a message', () => {
  it('join text, and blocks of the same index', () => {
    expect(mergeChunks(chunk({ content: 'a' }), chunk({ content: 'b' })).content).toBe('ab');
    const block = (text: string, index: number) => ({ type: 'text', text, index });
    expect(
      mergeChunks(chunk({ content: [block('a', 0)] }), chunk({ content: [block('b', 0), block('c', 1)] }))
        .content,
    ).toEqual([block('ab', 0), block('c', 1)]);
    expect(mergeChunks(chunk({ content: [block('a', 0)] }), chunk({ content: 'z' })).content).toEqual([
      block('a', 0),
      { type: 'text', text: 'z' },
    ]);
    expect(mergeChunks(chunk({ content: '' }), chunk({ content: [block('a', 0)] })).content).toEqual([
      block('a', 0),
    ]);
  });

  it('add up usage, and keep what a part leaves out', () => {
    const merged = mergeChunks(
      chunk({ usage_metadata: { input_tokens: 3, output_tokens: 1 }, name: 'bot' }),
      chunk({
        usage_metadata: { output_tokens: 4 },
        name: null,
        response_metadata: { finish_reason: 'stop' },
      }),
    );
    expect(merged).toMatchObject({
      usage_metadata: { input_tokens: 3, output_tokens: 5 },
      name: 'bot',
      response_metadata: { finish_reason: 'stop' },
    });
  });

  it('keep tool calls of different index apart, and say which cannot be read', () => {
    const call = (index: number, id: string, args: string) => ({ name: 't', id, index, args });
    const merged = mergeChunks(
      chunk({ tool_call_chunks: [call(0, 'a', '{"x":'), call(1, 'b', 'no')] }),
      chunk({ tool_call_chunks: [{ index: 0, args: '2}' }] }),
    );
    expect(merged.tool_calls).toEqual([{ name: 't', id: 'a', args: { x: 2 }, type: 'tool_call' }]);
    expect(merged.invalid_tool_calls).toMatchObject([{ id: 'b', args: 'no' }]);
  });
});
