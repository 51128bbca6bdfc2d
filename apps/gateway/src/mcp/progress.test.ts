import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Progress } from './progress.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function recorded(everyMs: number, send: (message: string) => Promise<void> = async () => {}) {
  const sent: [number, string][] = [];
  const progress = new Progress(async (step) => {
    sent.push([step.progress, step.message]);
    await send(step.message);
  }, everyMs);
  return { progress, sent };
}

it('sends the first at once, and of those that come too fast the newest', async () => {
  const { progress, sent } = recorded(1000);
  for (const step of ['a', 'b', 'c']) progress.report(step);
  await vi.advanceTimersByTimeAsync(0);
  expect(sent).toEqual([[1, 'a']]);
  await vi.advanceTimersByTimeAsync(1000);
  expect(sent).toEqual([
    [1, 'a'],
    [2, 'c'],
  ]);
  await vi.advanceTimersByTimeAsync(1000);
  progress.report('d');
  await vi.advanceTimersByTimeAsync(0);
  expect(sent.at(-1)).toEqual([3, 'd']);
  await progress.close();
});

it('says nothing more once it is closed', async () => {
  const { progress, sent } = recorded(1000);
  progress.report('a');
  progress.report('b');
  await progress.close();
  progress.report('c');
  await vi.advanceTimersByTimeAsync(5000);
  expect(sent).toEqual([[1, 'a']]);
  expect(vi.getTimerCount()).toBe(0);
});

it('does not mind a client that has gone', async () => {
  const { progress, sent } = recorded(0, () => Promise.reject(new Error('gone')));
  progress.report('a');
  await vi.advanceTimersByTimeAsync(1);
  progress.report('b');
  await progress.close();
  expect(sent).toHaveLength(2);
});
