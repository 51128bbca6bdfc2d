import { expect, it } from 'vitest';
import type { Exception } from './exceptions.ts';
import type { Check, ScenarioResult } from './suite.ts';
import { judge } from './verdict.ts';

const scenario = (...checks: Check[]): ScenarioResult => ({
  revision: '2026-07-28',
  scenario: 'tools-list',
  checks,
});
const listed: Exception = { revision: '2026-07-28', scenario: 'tools-list', check: 'a', reason: 'optional' };

it('counts checks, and tells of all that did not succeed', () => {
  const result = scenario(
    { id: 'a', status: 'SUCCESS' },
    { id: 'b', status: 'FAILURE', errorMessage: 'no' },
    { id: 'c', status: 'WARNING', errorMessage: 'hm' },
  );
  expect(judge([result], [], true)).toEqual({
    passed: 1,
    failed: 1,
    lines: ['FAILED 2026-07-28 tools-list b: no', 'WARNING 2026-07-28 tools-list c: hm'],
  });
});

it('lets fail what is listed, in its revision only', () => {
  const result = scenario({ id: 'a', status: 'FAILURE' });
  expect(judge([result], [listed], true)).toMatchObject({ passed: 0, failed: 0 });
  expect(judge([result], [{ ...listed, revision: '2025-11-25' }], false)).toMatchObject({ failed: 1 });
});

it('takes a list for wrong that names what does not fail', () => {
  const { failed, lines } = judge([scenario({ id: 'a', status: 'SUCCESS' })], [listed], true);
  expect(failed).toBe(1);
  expect(lines).toEqual([expect.stringContaining('tools-list a: it is listed as failing')]);
});

it('has what is listed for both revisions fail in both', () => {
  const { revision: _, ...both } = listed;
  const { lines } = judge([scenario({ id: 'a', status: 'FAILURE' })], [both], true);
  expect(lines).toEqual([
    expect.stringMatching(/^expected 2026-07-28/),
    expect.stringMatching(/^FAILED 2025-11-25 tools-list a: it is listed/),
  ]);
});

it('takes a scenario without a result for failed', () => {
  expect(judge([scenario()], [], true)).toMatchObject({ passed: 0, failed: 1 });
});
