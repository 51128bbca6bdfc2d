import { expect, it } from 'vitest';
import { parseJsonPrefix } from './json-prefix.ts';

it.each([
  ['{"a": 1}', { a: 1 }],
  ['{"a": "he', { a: 'he' }],
  ['{"a": [1, {"b": "x"', { a: [1, { b: 'x' }] }],
  ['{"a": 1, "b', { a: 1 }],
  ['{"a": 1, "b": tr', { a: 1 }],
  ['{"a": "\\u00', {}],
  ['{"a": "say \\"hi', { a: 'say "hi' }],
  ['{', {}],
  ['[1, 2', [1, 2]],
  ['', undefined],
  ['nonsense', undefined],
])('reads %s', (text, value) => {
  expect(parseJsonPrefix(text)).toEqual(value);
});

it('gives an object for each beginning of one', () => {
  const text = JSON.stringify({ a: { b: [1, 'two', null, { c: 'x\\"y' }] }, d: 'ü' });
  for (let end = 1; end <= text.length; end++) {
    expect(parseJsonPrefix(text.slice(0, end)), text.slice(0, end)).toBeTypeOf('object');
  }
});
