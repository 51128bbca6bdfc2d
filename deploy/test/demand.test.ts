import { testRedis } from '@millrace/shared/test-redis';
import { expect, it, onTestFinished } from 'vitest';
import { startProcess } from '../../test/processes.ts';
import { readFormula, readTrigger } from '../autoscale/demand.ts';
import { compose } from './kustomize.ts';
import { namespaced } from './namespaced.ts';
import { readSample } from './scrape.ts';

it('is what keda-redis adds up and keda-metrics-api is told, on a real queue', async () => {
  const redis = await testRedis();
  onTestFinished(redis.close);
  const { env } = redis;
  const gateway = await startProcess('gateway', env);
  onTestFinished(async () => void (await gateway.end('SIGTERM')));
  // Publishes the catalog, and leaves before there is work.
  const worker = await startProcess('worker', { ...env, MODEL: 'demo' });
  await worker.end('SIGTERM');

  const asked = { redis: namespaced(redis), gateway: gateway.url };
  const scaledBy = async (component: string) => {
    const objects = await compose(['components/redis', `components/${component}`]);
    return objects.find(({ kind }) => kind === 'ScaledObject')?.spec;
  };
  const { triggers, advanced } = await scaledBy('keda-redis');
  const counted = readFormula(advanced.scalingModifiers.formula, triggers, asked);
  const told = readTrigger((await scaledBy('keda-metrics-api')).triggers[0], asked);
  const demand = async () =>
    readSample(await (await fetch(`${gateway.url}/metrics`)).text(), 'millrace_queue_demand', {
      queue: 'default',
    });

  expect([await counted(), await told(), await demand()]).toEqual([0, 0, 0]);
  for (let sent = 0; sent < 3; sent++) {
    const answer = await fetch(`${gateway.url}/message`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Prefer: 'wait=0' },
      body: JSON.stringify({ query: `message ${sent}` }),
    });
    expect(answer.status).toBe(202);
  }
  expect([await counted(), await told(), await demand()]).toEqual([3, 3, 3]);
});
