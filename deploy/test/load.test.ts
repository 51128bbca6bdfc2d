import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { projectRoot } from '../../scripts/paths.ts';
import { runCommand } from '../../scripts/run-command.ts';
import { type AppProcess, startProcess } from '../../test/processes.ts';
import { lengthOf, readPlan, stretched, usersAt } from '../load/plan.ts';
import { type Report, reportOf } from '../load/report.ts';

let redis: TestRedis;
let gateway: AppProcess;
let worker: AppProcess;

beforeAll(async () => {
  redis = await testRedis();
  const env = { ...redis.env, MODEL: 'demo', API_KEYS: 'the-key' };
  [gateway, worker] = await Promise.all([startProcess('gateway', env), startProcess('worker', env)]);
});

afterAll(async () => {
  await Promise.all([gateway?.end('SIGTERM'), worker?.end('SIGTERM')]);
  await redis?.close();
});

async function load(args: string[]): Promise<{ code: number | null; report: Report; said: string }> {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-load-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const json = join(dir, 'report.json');
  const main = join(projectRoot, 'deploy/load/main.ts');
  const result = await runCommand(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), main, '--json', json, ...args],
    { timeoutMs: 50_000 },
  );
  const report = JSON.parse(readFileSync(json, 'utf8')) as Report;
  return { code: result.code, report, said: result.stdout };
}

describe('the load test', () => {
  it('sends users by the plan, and tells how they were answered', async () => {
    const { code, report, said } = await load([
      '--url',
      gateway.url,
      '--key',
      'the-key',
      '--plan',
      'light',
      '--seconds',
      '2',
    ]);
    expect(Object.keys(report.results)).toEqual(['200']);
    // Ten users, each at least once.
    expect(report.requests).toBeGreaterThanOrEqual(10);
    expect(said).toContain(`${report.requests} requests`);
    // How fast this machine is, is not the matter here.
    expect(code).toBe(report.passed ? 0 : 1);
  });

  it('fails when the answers are not what they should be', async () => {
    const { code, report } = await load([
      '--url',
      gateway.url,
      '--key',
      'wrong',
      '--plan',
      'light',
      '--seconds',
      '1',
    ]);
    expect(Object.keys(report.results)).toEqual(['401']);
    expect({ code, kept: report.kept, passed: report.passed }).toEqual({ code: 1, kept: 0, passed: false });
  });
});

describe('the plans', () => {
  it.each([
    ['ramp', 200, 16],
    ['light', 10, 5],
    ['medium', 50, 10],
    ['heavy', 100, 15],
  ])('%s goes to %i users in %i minutes', (name, most, minutes) => {
    const plan = readPlan(name);
    expect(lengthOf(plan)).toBe(minutes * 60_000);
    expect(Math.max(...plan.map(({ users }) => users))).toBe(most);
  });

  it('are walked through evenly', () => {
    const plan = stretched(readPlan('ramp'), 16_000);
    const at = [0, 1000, 2000, 6999, 8000, 9000, 15_000, 16_000];
    expect(at.map((ms) => usersAt(plan, ms))).toEqual([0, 50, 100, 100, 150, 200, 100, undefined]);
  });

  it('are refused by another name', () => {
    expect(() => readPlan('huge')).toThrow('--plan must be one of ramp, light, medium, heavy');
  });
});

it('counts what came late, or not at all', () => {
  const fast = Array.from({ length: 98 }, () => ({ ms: 100, result: '200' }));
  const report = reportOf([...fast, { ms: 2500, result: '200' }, { ms: 100, result: '503' }], 10_000);
  expect(report).toMatchObject({
    requests: 100,
    perSecond: 10,
    kept: 0.98,
    p50: 100,
    longest: 2500,
    passed: false,
  });
  expect(report.results).toEqual({ 200: 99, 503: 1 });
  expect(reportOf(fast, 10_000).passed).toBe(true);
  expect(reportOf([], 10_000).passed).toBe(false);
});
