import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { countTests, runTests, summary } from './test-run.ts';
import { tempDir } from './testing.ts';

const file = (status: string, ...tests: string[]) => ({
  status,
  assertionResults: tests.map((one) => ({ status: one })),
});
const report = (
  passed: number,
  failed: number,
  pending: number,
  ...testResults: ReturnType<typeof file>[]
) => ({
  ...{
    numPassedTests: passed,
    numFailedTests: failed,
    numPendingTests: pending,
    numTodoTests: 0,
    testResults,
  },
});

describe('counts', () => {
  test.each([
    ['all passed', report(2, 0, 0, file('passed', 'passed', 'passed')), 0, '2 passed, 0 failed'],
    ['one failed', report(1, 1, 0, file('failed', 'passed', 'failed')), 1, '1 passed, 1 failed'],
    ['one skipped', report(1, 0, 1, file('passed', 'passed')), 0, '1 passed, 0 failed, 1 skipped'],
    [
      'a file that does not load',
      report(1, 0, 0, file('failed'), file('passed', 'passed')),
      1,
      '1 passed, 1 failed',
    ],
    ['an error outside of tests', report(1, 0, 0, file('passed', 'passed')), 1, '1 passed, 1 failed'],
    ['no test at all', report(0, 0, 0), 0, '0 passed, 1 failed'],
    ['no report', undefined, 0, '0 passed, 1 failed'],
  ])('%s', (_, given, code, expected) => {
    expect(summary(countTests(given, code))).toBe(expected);
  });
});

describe('a run', () => {
  const run = async (vitest: string, stop = new AbortController().signal) => {
    const events: string[] = [];
    const script = join(tempDir(), 'vitest.mjs');
    writeFileSync(script, vitest);
    const code = await runTests({
      args: ['extra'],
      vitest: script,
      cwd: tempDir(),
      env: {
        ...process.env,
        REDIS_URL: 'redis://precious',
        REDIS_PASSWORD: 'secret',
        TEST_ONE_REDIS_URL: 'x',
      },
      openRedis: async () => ({
        env: { TEST_REDIS_URL: 'redis://private' },
        takeAlong: () => {},
        stop: async () => void events.push('redis stopped'),
      }),
      say: (line) => events.push(line),
      stop,
      force: new AbortController().signal,
    });
    return { code, events };
  };
  const writes = (passed: number, failed: number) => `
    import { writeFileSync } from 'node:fs';
    const file = process.argv.find((arg) => arg.startsWith('--outputFile.json=')).split('=')[1];
    writeFileSync(file, JSON.stringify(${JSON.stringify(report(passed, failed, 0))}));
    const { REDIS_URL, REDIS_PASSWORD, TEST_REDIS_URL, TEST_ONE_REDIS_URL } = process.env;
    if (REDIS_URL || REDIS_PASSWORD || TEST_ONE_REDIS_URL || TEST_REDIS_URL !== 'redis://private') process.exit(9);
    if (process.argv.at(-1) !== 'extra') process.exit(8);
  `;

  test('has a Redis of its own, and its counts come last', async () => {
    expect(await run(writes(3, 0))).toEqual({ code: 0, events: ['redis stopped', '3 passed, 0 failed'] });
  });

  test('ends with the exit code of vitest', async () => {
    expect(await run(`${writes(3, 1)}\nprocess.exitCode = 7;`)).toMatchObject({ code: 7 });
  });

  test('that crashes before the first test fails, whatever the exit code', async () => {
    expect(await run('process.exit(0)')).toEqual({
      code: 1,
      events: ['redis stopped', '0 passed, 1 failed'],
    });
  });

  test('can be stopped, and still puts Redis away', async () => {
    const result = await run('setInterval(() => {}, 1000)', AbortSignal.timeout(200));
    expect(result).toEqual({ code: 1, events: ['redis stopped', '0 passed, 1 failed'] });
  });
});
