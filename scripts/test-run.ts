import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Say } from './say.ts';
import type { TestServers } from './test-servers.ts';

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** What is read of vitest's JSON report. */
interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: { status: string; assertionResults: { status: string }[] }[];
}

/**
 * The counts of a run. A file that could not be loaded is a failure though none of its tests ran, and so is an exit
 * code that no failed test explains, or a run without a single test.
 */
export function countTests(report: Report | undefined, code: number): Counts {
  if (report === undefined) return { passed: 0, failed: 1, skipped: 0 };
  const broken = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  );
  const passed = report.numPassedTests;
  const skipped = report.numPendingTests + report.numTodoTests;
  const failed = report.numFailedTests + broken.length;
  const unexplained = failed === 0 && (code !== 0 || passed === 0);
  return { passed, failed: unexplained ? 1 : failed, skipped };
}

export function summary({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

export interface TestOptions {
  /** vitest's own arguments. */
  args: string[];
  vitest: string;
  cwd: string;
  env: NodeJS.ProcessEnv;
  openRedis: (signal: AbortSignal) => Promise<TestServers>;
  say: Say;
  /** The first request to stop, and the one to stop at once. */
  stop: AbortSignal;
  force: AbortSignal;
}

/** Runs vitest on a Redis of its own; the last line said holds the counts. Resolves to the exit code. */
export async function runTests(options: TestOptions): Promise<number> {
  const { say, stop } = options;
  const scratch = await mkdtemp(join(tmpdir(), 'millrace-test-'));
  try {
    const redis = await options.openRedis(stop);
    const reportFile = join(scratch, 'report.json');
    let code: number;
    try {
      code = await runVitest(options, redis, reportFile);
    } finally {
      await redis.stop();
    }
    const counts = countTests(readReport(reportFile), code);
    say(summary(counts));
    return counts.failed > 0 && code === 0 ? 1 : code;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function runVitest(options: TestOptions, redis: TestServers, reportFile: string): Promise<number> {
  const { stop, force } = options;
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`];
  return new Promise((resolve, reject) => {
    // In a group of its own, so that a terminal's Ctrl-C comes once, from here, and the whole group can be ended.
    const child = spawn(process.execPath, [options.vitest, 'run', ...reporters, ...options.args], {
      cwd: options.cwd,
      env: { ...clean(options.env), ...redis.env },
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
    });
    if (child.pid !== undefined) redis.takeAlong(child.pid);
    const send = (signal: NodeJS.Signals) => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, signal);
      } catch {
        // already gone
      }
    };
    const end = () => send('SIGTERM');
    const kill = () => send('SIGKILL');
    stop.addEventListener('abort', end);
    force.addEventListener('abort', kill);
    if (stop.aborted) end();
    child.once('error', reject);
    child.once('exit', (code) => {
      // Workers of a vitest that crashed would keep its Redis busy.
      if (code === null) kill();
      resolve(code ?? 1);
    });
  });
}

/** No test may touch a Redis that somebody uses. */
function clean(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const {
    REDIS_URL: _url,
    REDIS_PASSWORD: _password,
    REDIS_USERNAME: _username,
    CHECKPOINT_REDIS_URL: _checkpoint,
    TEST_CHECKPOINT_REDIS_URL: _testCheckpoint,
    TEST_ONE_REDIS_URL: _testOne,
    ...rest
  } = env;
  return rest;
}

function readReport(file: string): Report | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Report;
  } catch {
    return undefined;
  }
}
