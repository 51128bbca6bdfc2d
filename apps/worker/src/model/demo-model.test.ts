import { HumanMessage } from '@langchain/core/messages';
import { describe, expect, it } from 'vitest';
import { DemoModel } from './demo-model.ts';
import { demoReply, findExpressions } from './demo-reply.ts';

describe('findExpressions', () => {
  it.each([
    ['What is 12*(3+4)? What time is it?', ['12*(3+4)']],
    ['Add 1 + 2. Then 3 × 4, and (5-6).', ['1 + 2', '3 * 4', '(5-6)']],
    ['-2^2 please', ['-2^2']],
    ['(see 3+4)', ['3+4']],
    ['On 2026-11-20 there were 3 of 4 - maybe 5', []],
    ['nothing at all', []],
  ])('finds the arithmetic in %s', (text, expected) => {
    expect(findExpressions(text)).toEqual(expected);
  });
});

describe('demoReply', () => {
  it('calls only tools that are bound', () => {
    const messages = [new HumanMessage('2+2 and the time')];
    expect(demoReply(messages, new Set(['current_time']))).toEqual({
      toolCalls: [{ name: 'current_time', args: {} }],
    });
    expect(demoReply(messages, new Set())).toHaveProperty('text');
  });

  it('calls any other tool by its name', () => {
    const said = [
      new HumanMessage('call docs__search {"query": "x"}, then call me, and call docs__list {broken}'),
    ];
    expect(demoReply(said, new Set(['docs__search', 'docs__list']))).toEqual({
      toolCalls: [{ name: 'docs__search', args: { query: 'x' } }],
    });
    expect(demoReply([new HumanMessage('Call docs__list')], new Set(['docs__list']))).toEqual({
      toolCalls: [{ name: 'docs__list', args: {} }],
    });
  });

  it('takes a time zone from the message', () => {
    expect(demoReply([new HumanMessage('time in Asia/Tokyo?')], new Set(['current_time']))).toEqual({
      toolCalls: [{ name: 'current_time', args: { time_zone: 'Asia/Tokyo' } }],
    });
  });
});

describe('DemoModel', () => {
  it('stops when it is aborted', async () => {
    const controller = new AbortController();
    const seen: string[] = [];
    const reading = (async () => {
      for await (const chunk of await new DemoModel().stream('hello', { signal: controller.signal })) {
        seen.push(chunk.text);
        controller.abort(new Error('enough'));
      }
    })();
    await expect(reading).rejects.toThrow();
    expect(seen).toEqual(['I ']);
  });

  it('answers without streaming as well', async () => {
    expect((await new DemoModel().invoke('hello')).text).toContain('You said: "hello"');
  });
});
