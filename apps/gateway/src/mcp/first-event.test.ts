import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { withFirstEvent } from './first-event.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const headers = { 'content-type': 'text/event-stream', 'x-kept': 'yes' };

function stream() {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const cancelled: unknown[] = [];
  const body = new ReadableStream<Uint8Array>({
    start: (given) => {
      controller = given;
    },
    cancel: (reason) => void cancelled.push(reason),
  });
  return {
    response: new Response(body, { status: 202, headers }),
    cancelled,
    send: (text: string) => controller?.enqueue(new TextEncoder().encode(text)),
    end: () => controller?.close(),
  };
}

/** Whether it has come by the time that whatever can happen has. */
async function hasCome(promise: Promise<unknown>): Promise<boolean> {
  let come = false;
  void promise.then(() => {
    come = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  return come;
}

it('lets no headers go before the first event, and nothing is lost', async () => {
  const { response, send, end } = stream();
  const held = withFirstEvent(response);
  expect(await hasCome(held)).toBe(false);
  send('one ');
  const { status, headers, body } = await held;
  expect([status, headers.get('x-kept')]).toEqual([202, 'yes']);
  send('two');
  end();
  expect(await new Response(body).text()).toBe('one two');
});

it('lets them go when the first event takes long', async () => {
  const { response, send, end } = stream();
  const held = withFirstEvent(response);
  await vi.advanceTimersByTimeAsync(1_000);
  const answer = await held;
  send('late');
  end();
  expect(await answer.text()).toBe('late');
});

it('hands on that nobody reads any more', async () => {
  const { response, send, cancelled } = stream();
  send('one');
  const { body } = await withFirstEvent(response);
  await body?.cancel('gone');
  expect(cancelled).toEqual(['gone']);
});

it('leaves what is no stream of events as it is', async () => {
  const response = Response.json({});
  expect(await withFirstEvent(response)).toBe(response);
});
