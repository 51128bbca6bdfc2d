import { Hono } from 'hono';
import { describe, expect, it } from 'vitest';
import type { HttpEnv } from './env.ts';
import { type EventSource, type SseEvent, type SseOptions, streamEvents } from './sse.ts';

async function open(events: EventSource, options: SseOptions = {}, method = 'GET') {
  const app = new Hono<HttpEnv>();
  app.get('/', (c) => streamEvents(c, events, options));
  const response = await app.request('/', { method });
  return {
    response,
    /** Takes the body; `response.text()` does as well. */
    get reader() {
      return response.body?.getReader() as ReadableStreamDefaultReader<Uint8Array>;
    },
  };
}

/** Counts what has been taken from it; endless. */
function flood(bytes: number) {
  const state = { taken: 0, ended: false };
  async function* events(): AsyncGenerator<SseEvent> {
    try {
      for (;;) {
        state.taken += 1;
        yield { event: 'x', data: 'x'.repeat(bytes) };
      }
    } finally {
      state.ended = true;
    }
  }
  return { state, events };
}

async function* some(...events: SseEvent[]): AsyncGenerator<SseEvent> {
  yield* events;
}

const until = async (condition: () => boolean) => {
  while (!condition()) await new Promise(setImmediate);
};

describe('an event stream', () => {
  it('keeps line breaks in the data from breaking it, and ends', async () => {
    const { response } = await open(
      some({ id: '1', event: 'a', data: '1\n2\r\n3' }, { event: 'b', data: '{}' }),
    );
    expect(response.headers.get('Content-Type')).toBe('text/event-stream; charset=utf-8');
    expect(await response.text()).toBe(
      'retry: 1000\nid: 1\nevent: a\ndata: 1\ndata: 2\ndata: 3\n\nevent: b\ndata: {}\n\n',
    );
  });

  it('keeps alive by comments that are no events', async () => {
    const never = async function* (): AsyncGenerator<SseEvent> {
      await new Promise(() => undefined);
    };
    const { reader } = await open(never(), { keepAliveMs: 1 });
    let text = '';
    while (!text.includes(': keep-alive\n: keep-alive\n')) {
      text += new TextDecoder().decode((await reader.read()).value);
    }
    expect(text).not.toContain('\n\n');
    await reader.cancel();
  });

  it('takes no more events than the client reads', async () => {
    const { state, events } = flood(1000);
    const { reader } = await open(events, { bufferBytes: 10_000 });
    await until(() => state.taken >= 10);
    for (let i = 0; i < 100; i++) await new Promise(setImmediate);
    expect(state.taken).toBeLessThan(15);
    for (let i = 0; i < 50; i++) await reader.read();
    await until(() => state.taken >= 50);
    await reader.cancel();
    await until(() => state.ended);
  });

  it('stops the source when the client goes away', async () => {
    let aborted = false;
    const { reader } = await open(async function* (signal): AsyncGenerator<SseEvent> {
      yield { event: 'a', data: '1' };
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      aborted = true;
    });
    await reader.read();
    await reader.cancel();
    await until(() => aborted);
  });

  it('breaks off, and does not end, when the source fails or the gateway has left', async () => {
    const failing = async function* (): AsyncGenerator<SseEvent> {
      yield { event: 'a', data: '1' };
      throw new Error('Connection is closed.');
    };
    await expect((await open(failing())).response.text()).rejects.toThrow('broken off');
    const left = await open(flood(1).events, { drain: AbortSignal.abort() });
    await expect(left.response.text()).rejects.toThrow('broken off');
  });

  it('starts nothing for a HEAD request', async () => {
    const { state, events } = flood(1);
    const { response } = await open(events, {}, 'HEAD');
    expect(response.status).toBe(200);
    expect(state.taken).toBe(0);
  });
});
