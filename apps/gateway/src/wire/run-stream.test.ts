import type { RunEvent } from '@millrace/shared/contract/event';
import type { StreamMode } from '@millrace/shared/contract/stream-mode';
import { expect, it } from 'vitest';
import { MessagesPartial } from './messages-partial.ts';
import { toWireEvents } from './run-stream.ts';

async function project(
  stored: [name: string, data: unknown][],
  modes: StreamMode[],
  snapshot: string | undefined = '{"now":1}',
) {
  async function* events(): AsyncGenerator<RunEvent> {
    let seq = 0;
    for (const [name, data] of stored) {
      const numbered = name === 'gap' ? { seq: 0, token: 0 } : { seq: ++seq, token: 7 };
      yield { ...numbered, name, data: JSON.stringify(data) };
    }
  }
  const partial = modes.includes('messages') ? new MessagesPartial() : undefined;
  const found = [];
  for await (const one of toWireEvents(events(), { modes, partial, snapshot: async () => snapshot })) {
    found.push([one.id, one.event, JSON.parse(one.data)]);
  }
  return found;
}

const metadata = { run_id: 'r', attempt: 1 };
const end = { status: 'succeeded' };
const tuple = (content: string) => [{ type: 'ai', id: 'm', content, tool_call_chunks: [] }, {}];

it('gives a client its modes, those of sub-graphs too, and no end', async () => {
  const stored: [string, unknown][] = [
    ['metadata', metadata],
    ['values', { x: 1 }],
    ['updates', { n: 1 }],
    ['updates|child:1', { n: 2 }],
    ['messages', tuple('hi')],
    ['end', end],
  ];
  expect(await project(stored, ['updates'])).toEqual([
    ['1-7', 'metadata', metadata],
    ['3-7', 'updates', { n: 1 }],
    ['4-7', 'updates|child:1', { n: 2 }],
  ]);
  expect((await project(stored, ['messages-tuple'])).map(([id, event]) => [id, event])).toEqual([
    ['1-7', 'metadata'],
    ['5-7', 'messages'],
  ]);
});

it('gives the id of a stored event to the last that is made of it', async () => {
  const made = await project(
    [
      ['metadata', metadata],
      ['messages', tuple('hi')],
      ['end', end],
    ],
    ['messages'],
  );
  expect(made.map(([id, event]) => [id, event])).toEqual([
    ['1-7', 'metadata'],
    [undefined, 'messages/metadata'],
    ['2-7', 'messages/partial'],
    ['3-7', 'messages/complete'],
  ]);
});

it('tells why a run failed, once, and completes no message that was cut off', async () => {
  const failed = { status: 'failed', error: { code: 'graph_error', message: 'broken', name: 'TypeError' } };
  expect(
    await project(
      [
        ['error', {}],
        ['end', failed],
      ],
      ['values'],
    ),
  ).toEqual([['2-7', 'error', { error: 'TypeError', message: 'broken' }]]);
  const cancelled = await project(
    [
      ['messages', tuple('h')],
      ['end', { status: 'cancelled' }],
    ],
    ['messages'],
  );
  expect(cancelled.map(([, event]) => event)).toEqual(['messages/metadata', 'messages/partial']);
});

it('sends the values as they are after a gap', async () => {
  const gap = { after: '3-1', next: 9 };
  expect(
    await project(
      [
        ['gap', gap],
        ['updates', 1],
      ],
      ['updates'],
    ),
  ).toEqual([
    [undefined, 'gap', gap],
    [undefined, 'values', { now: 1 }],
    ['1-7', 'updates', 1],
  ]);
});

it('lets the values through from which a new attempt starts', async () => {
  const again = { run_id: 'r', attempt: 2, discard: ['m'] };
  const stored: [string, unknown][] = [
    ['metadata', metadata],
    ['values', 'not asked for'],
    ['messages', tuple('half')],
    ['metadata', again],
    ['values', { x: 1 }],
    ['values', { x: 2 }],
    ['messages', tuple('whole')],
    ['end', end],
  ];
  const made = await project(stored, ['messages']);
  expect(made.map(([, event, data]) => [event, data.x ?? data[0]?.content])).toEqual([
    ['metadata', undefined],
    ['messages/metadata', undefined],
    ['messages/partial', 'half'],
    ['metadata', undefined],
    ['values', 1],
    ['messages/metadata', undefined],
    ['messages/partial', 'whole'],
    ['messages/complete', 'whole'],
  ]);
});
