import { testRedis } from '@millrace/shared/test-redis';
import { expect, it, onTestFinished } from 'vitest';
import { startProcess } from '../../test/processes.ts';
import { compose } from './kustomize.ts';
import { readSample } from './scrape.ts';

/** How KEDA's redis scaler counts, whatever kind of key the name leads to. */
const LENGTH = `local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'zset' then return redis.call('ZCARD', KEYS[1]) end
if kind == 'set' then return redis.call('SCARD', KEYS[1]) end
return redis.call('LLEN', KEYS[1])`;

it('is what the triggers of keda-redis add up to, on a real queue', async () => {
  const redis = await testRedis();
  onTestFinished(redis.close);
  const env = { REDIS_URL: redis.url, REDIS_PREFIX: redis.keys.prefix };
  const gateway = await startProcess('gateway', env);
  onTestFinished(async () => void (await gateway.end('SIGTERM')));
  // Publishes the catalog, and leaves before there is work.
  const worker = await startProcess('worker', { ...env, MODEL: 'demo' });
  await worker.end('SIGTERM');

  const objects = await compose(['components/redis', 'components/keda-redis']);
  const { triggers } = objects.find(({ kind }) => kind === 'ScaledObject')?.spec ?? {};
  const lists = triggers.map(({ metadata }: { metadata: { listName: string } }) =>
    metadata.listName.replace('{millrace}', `{${redis.keys.prefix}}`),
  ) as string[];
  const counted = async () => {
    const lengths = await Promise.all(lists.map((list) => redis.redis.eval(LENGTH, 1, list)));
    return lengths.reduce<number>((sum, length) => sum + Number(length), 0);
  };
  const demand = async () =>
    readSample(await (await fetch(`${gateway.url}/metrics`)).text(), 'millrace_queue_demand', {
      queue: 'default',
    });

  expect([await counted(), await demand()]).toEqual([0, 0]);
  for (let sent = 0; sent < 3; sent++) {
    const answer = await fetch(`${gateway.url}/message`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Prefer: 'wait=0' },
      body: JSON.stringify({ query: `message ${sent}` }),
    });
    expect(answer.status).toBe(202);
  }
  expect([await counted(), await demand()]).toEqual([3, 3]);
});
