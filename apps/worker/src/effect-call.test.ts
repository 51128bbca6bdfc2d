import { expect, it } from 'vitest';
import { mustNotRepeat } from './effect-call.ts';

it.each([
  [{}, false],
  [{ repeatable: false }, true],
  [{ repeatable: true, annotations: { destructiveHint: true } }, false],
  [{ annotations: undefined }, false],
  [{ annotations: { title: 'Search' } }, false],
  [{ annotations: { destructiveHint: true } }, true],
  [{ annotations: { destructiveHint: true, idempotentHint: true } }, false],
  [{ annotations: { destructiveHint: false, idempotentHint: false } }, true],
  [{ annotations: { readOnlyHint: true, idempotentHint: false } }, false],
])('a tool with the metadata %j must not be repeated: %s', (metadata, expected) => {
  expect(mustNotRepeat(metadata)).toBe(expected);
});
