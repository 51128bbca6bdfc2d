import { Refusal } from '@millrace/shared/contract/error';
import { Hono } from 'hono';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { HttpEnv } from '../http/env.ts';
import { lateJson } from './late-json.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

type Produce = Parameters<typeof lateJson>[1];

async function answer(produce: Produce, drain = new AbortController(), onGone = () => {}) {
  const app = new Hono<HttpEnv>();
  app.get('/', (c) => lateJson(c, produce, { drain: drain.signal, onGone }));
  return app.request('/');
}

const untilAborted: Produce = (signal) =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

it('sends newlines until it has the answer', async () => {
  let give: (text: string) => void = () => {};
  const response = await answer(() => new Promise((resolve) => (give = resolve)));
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  for (let i = 0; i < 3; i++) {
    expect((await reader?.read())?.value).toBe('\n');
    vi.advanceTimersByTime(10_000);
  }
  give('{"x":1}');
  let rest = '';
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) rest += part.value;
  expect(rest.trim()).toBe('{"x":1}');
  expect(vi.getTimerCount()).toBe(0);
});

it('says in the body what it cannot say in the status', async () => {
  const refused = await answer(() => Promise.reject(new Refusal('not_found', 'It is gone')));
  expect(JSON.parse(await refused.text())).toEqual({
    __error__: { error: 'not_found', message: 'It is gone' },
  });
  const redis = await answer(() => Promise.reject(new Error('Connection is closed.')));
  expect(JSON.parse(await redis.text())).toMatchObject({ __error__: { error: 'unavailable' } });
  const broken = await answer(() => Promise.reject(new Error('secret')));
  expect(await broken.text()).not.toContain('secret');
});

it('stops waiting when the server leaves, and when the client does', async () => {
  const drain = new AbortController();
  const gone = vi.fn();
  const drained = await answer(untilAborted, drain, gone);
  drain.abort();
  expect(JSON.parse(await drained.text())).toMatchObject({ __error__: { error: 'unavailable' } });
  expect(gone).not.toHaveBeenCalled();
  const left = await answer(untilAborted, new AbortController(), gone);
  await left.body?.cancel();
  expect(gone).toHaveBeenCalledOnce();
  await vi.waitFor(() => expect(vi.getTimerCount()).toBe(0));
});
