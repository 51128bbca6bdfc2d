import { testRedis } from '@millrace/shared/test-redis';
import { expect, it, onTestFinished } from 'vitest';
import { projectRoot } from '../../scripts/paths.ts';
import { runCommand } from '../../scripts/run-command.ts';
import { startProcess } from '../../test/processes.ts';
import { compose } from './kustomize.ts';
import { workloads } from './pods.ts';

/** The command of the Job, as on a machine whose Node does not run TypeScript by itself. */
async function publish(env: Record<string, string>) {
  const objects = await compose(['components/keda-redis', 'components/scale-to-zero']);
  const job = workloads(objects).find(({ object }) => object.kind === 'Job');
  const [, script = ''] = job?.containers[0]?.command ?? [];
  return runCommand(process.execPath, ['--import', 'tsx', script], {
    timeoutMs: 50_000,
    cwd: projectRoot,
    env: { PATH: process.env.PATH, ...env },
  });
}

it('lets a gateway without any worker accept messages', async () => {
  const redis = await testRedis();
  onTestFinished(redis.close);
  const { env } = redis;
  const gateway = await startProcess('gateway', env);
  onTestFinished(async () => void (await gateway.end('SIGTERM')));
  const send = () =>
    fetch(`${gateway.url}/message`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Prefer: 'wait=0' },
      body: JSON.stringify({ query: 'Wake somebody' }),
    });
  const before = await send();
  expect(before.status).toBe(503);
  expect(await before.json()).toMatchObject({ code: 'no_catalog' });

  const published = await publish({ ...env, MODEL: 'demo' });
  expect(published).toMatchObject({ code: 0, stderr: '' });

  // Gateways look again in a moment.
  await expect.poll(async () => (await send()).status, { timeout: 30_000 }).toBe(202);
});

it('says what is wrong and fails, so that the Job is tried again', async () => {
  const result = await publish({ REDIS_URL: 'http://nowhere', MODEL: 'demo' });
  expect(result.code).toBe(1);
  expect(result.stderr).toContain('REDIS_URL');
});
