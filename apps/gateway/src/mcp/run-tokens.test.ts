import { expect, it } from 'vitest';
import { RunTokens } from './run-tokens.ts';

const said = (id: string | undefined, tokens?: number) => ({
  ...(id !== undefined && { id }),
  type: 'ai',
  ...(tokens !== undefined && { usage_metadata: { total_tokens: tokens } }),
});
let seq = 0;
const event = (name: string, data: unknown) => {
  seq += 1;
  return { seq, token: 1, name, data: JSON.stringify(data) };
};

it('counts what each new message says of itself, once', async () => {
  let asked = 0;
  const tokens = new RunTokens(async () => {
    asked += 1;
    return new Set<unknown>(['old']);
  });
  expect(await tokens.count(event('metadata', { attempt: 1 }))).toBe(0);
  expect(await tokens.count(event('updates', { plan: { todo: 1 }, other: null, odd: 3 }))).toBe(0);
  expect(await tokens.count(event('updates', { user: { messages: [said('q')] } }))).toBe(0);
  expect(asked).toBe(0);
  expect(await tokens.count(event('updates|agent:1', { model: { messages: [said('a', 10)] } }))).toBe(10);
  // The graph around it returns the same message, and what the thread had before.
  const all = [said('old', 1000), said('a', 10), said('b', 5)];
  expect(await tokens.count(event('updates', { agent: { messages: all } }))).toBe(15);
  expect(await tokens.count(event('updates', { agent: { messages: said('c', 1) } }))).toBe(16);
  expect(await tokens.count(event('messages', [said('d', 7), {}]))).toBe(16);
  expect(await tokens.count(event('updates', { agent: { messages: [said(undefined, 7)] } }))).toBe(16);
  expect(asked).toBe(1);
});
