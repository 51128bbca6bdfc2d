import { describe, expect, it } from 'vitest';
import { MessagesPartial } from './messages-partial.ts';

const part = (id: string, content: string, more: object = {}, metadata: object = {}) =>
  JSON.stringify([
    { type: 'ai', id, content, tool_call_chunks: [], tool_calls: [], additional_kwargs: {}, ...more },
    { langgraph_step: 1, langgraph_checkpoint_ns: 'agent:1', ...metadata },
  ]);
const whole = (id: string, content: string, metadata: object = {}) =>
  JSON.stringify([
    { type: 'ai', id, content },
    { langgraph_step: 1, ...metadata },
  ]);
const said = (events: { event: string; data: string }[]) =>
  events.map(({ event, data }) => [event.slice('messages/'.length), JSON.parse(data)]);
const contents = (events: { event: string; data: string }[]) =>
  said(events)
    .filter(([event]) => event !== 'metadata')
    .map(([event, [message]]) => [event, message.id, message.content]);

describe('messages made of parts', () => {
  it('announces a message, sends it as far as it is, and completes it at the end', () => {
    const partial = new MessagesPartial();
    expect(said(partial.add(part('m', 'he')))).toMatchObject([
      ['metadata', { m: { metadata: { langgraph_step: 1 } } }],
      ['partial', [{ id: 'm', content: 'he' }]],
    ]);
    expect(contents(partial.add(part('m', 'llo')))).toEqual([['partial', 'm', 'hello']]);
    expect(contents(partial.end())).toEqual([['complete', 'm', 'hello']]);
    expect(partial.end()).toEqual([]);
  });

  it('takes the whole message after its parts for the same one, not for more of it', () => {
    const partial = new MessagesPartial();
    partial.add(part('m', 'hel'));
    expect(contents(partial.add(whole('m', 'hello')))).toEqual([['complete', 'm', 'hello']]);
    expect(partial.add(whole('m', 'hello'))).toEqual([]);
    expect(partial.add(part('m', 'hello'))).toEqual([]);
    expect(partial.end()).toEqual([]);
  });

  it('completes a message when a later step begins, and keeps those that are said side by side', () => {
    const partial = new MessagesPartial();
    partial.add(part('a', 'one'));
    partial.add(part('b', 'two'));
    expect(contents(partial.add(part('a', '!')))).toEqual([['partial', 'a', 'one!']]);
    const inside = { langgraph_step: 9, langgraph_checkpoint_ns: 'agent:1|inner:2' };
    expect(contents(partial.add(part('c', 'sub', {}, inside)))).toEqual([['partial', 'c', 'sub']]);
    const next = partial.add(whole('t', 'result', { langgraph_step: 2, langgraph_checkpoint_ns: 'tools:3' }));
    expect(contents(next)).toEqual([
      ['complete', 'a', 'one!'],
      ['complete', 'b', 'two'],
      ['complete', 't', 'result'],
    ]);
    expect(contents(partial.end())).toEqual([['complete', 'c', 'sub']]);
  });

  it('collects tool calls, readable before they are whole', () => {
    const partial = new MessagesPartial();
    const call = (args: string, first: object = {}) => ({
      tool_call_chunks: [{ ...first, args, index: 0, type: 'tool_call_chunk' }],
    });
    partial.add(part('m', '', call('{"a": 1', { name: 'add', id: 'c1' })));
    const [half] = said(partial.add(part('m', '', call(', "b": tru'))));
    expect(half?.[1][0]).toMatchObject({
      tool_calls: [{ name: 'add', id: 'c1', args: { a: 1 } }],
      tool_call_chunks: [{ name: 'add', id: 'c1', args: '{"a": 1, "b": tru', index: 0 }],
    });
    const [done] = said(partial.add(part('m', '', call('e}'))));
    expect(done?.[1][0]).toMatchObject({ tool_calls: [{ args: { a: 1, b: true } }], invalid_tool_calls: [] });
  });

  it('begins anew what an earlier attempt left unfinished', () => {
    const partial = new MessagesPartial();
    partial.add(part('m', 'half'));
    partial.discard(['m']);
    expect(said(partial.add(part('m', 'again'))).map(([event]) => event)).toEqual(['metadata', 'partial']);
    expect(contents(partial.end())).toEqual([['complete', 'm', 'again']]);
  });

  it('passes over what has no id and what is no tuple', () => {
    const partial = new MessagesPartial();
    expect(partial.add(JSON.stringify([{ type: 'ai', content: 'x' }, {}]))).toEqual([]);
    expect(partial.add('{}')).toEqual([]);
    expect(partial.add('[]')).toEqual([]);
    expect(contents(partial.add(JSON.stringify([{ type: 'ai', id: 'm', content: 'x' }, null])))).toHaveLength(
      1,
    );
  });
});
