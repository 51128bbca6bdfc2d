import { join } from 'node:path';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectRoot } from '../../scripts/paths.ts';
import { runCommand } from '../../scripts/run-command.ts';
import { type AppProcess, startProcess } from '../../test/processes.ts';
import { Caller } from '../compose/check/caller.ts';
import { deployDir } from './kustomize.ts';

const END_MS = 60_000;

let redis: TestRedis;
let gateway: AppProcess;
let worker: AppProcess;

beforeAll(async () => {
  redis = await testRedis();
  const env = { ...redis.env, API_KEYS: 'the-key' };
  const graphs = join(deployDir, 'compose/check/graphs/langgraph.json');
  [gateway, worker] = await Promise.all([
    startProcess('gateway', env),
    startProcess('worker', { ...env, LANGGRAPH_CONFIG: graphs }),
  ]);
});

afterAll(async () => {
  await Promise.all([gateway?.end('SIGTERM'), worker?.end('SIGTERM')]);
  await redis?.close();
});

describe('the verdict on a run', () => {
  const caller = () => new Caller({ url: gateway.url, key: 'the-key' });

  it('is good when it succeeded, once', async () => {
    const one = caller();
    const run = await one.order('wait=20');
    expect(one.accepted).toEqual([run]);
    expect(await one.verdict(run, END_MS)).toEqual({ problems: [], attempts: 1 });
  });

  it('is bad when it ended in another way', async () => {
    const one = caller();
    const run = await one.order('respond-async');
    await fetch(`${gateway.url}/message/${run}`, {
      method: 'DELETE',
      headers: { Authorization: 'Bearer the-key' },
    });
    expect((await one.verdict(run, END_MS)).problems).toEqual([`${run} is cancelled`]);
  });

  it('is bad when it does not end in time', async () => {
    const one = caller();
    await worker.end('SIGKILL');
    const run = await one.order('respond-async');
    await expect(one.verdict(run, 0)).resolves.toEqual({ problems: [`${run} is queued`], attempts: 0 });
  });
});

it('is not begun where no engine answers', async () => {
  const main = join(deployDir, 'compose/check/main.ts');
  const result = await runCommand(process.execPath, ['--import', import.meta.resolve('tsx'), main], {
    timeoutMs: 60_000,
    cwd: projectRoot,
    env: { PATH: process.env.PATH, DOCKER_HOST: 'unix:///nowhere.sock' },
  });
  expect(result.stderr).toMatch(/^no container engine answers \(.+\); start one, or set DOCKER_HOST$/m);
  expect(result.code).toBe(1);
});
