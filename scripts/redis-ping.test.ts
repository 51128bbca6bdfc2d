import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { freePort } from './ports.ts';
import { requireRedis, startRedis } from './private-redis.ts';

async function privateRedis(): Promise<string> {
  const redis = await startRedis({ ephemeral: true, log: () => {} });
  onTestFinished(redis.stop);
  return redis.url;
}

test('a Redis that can be used passes, with the password in the URL or beside it', async () => {
  const url = await privateRedis();
  await requireRedis(url, undefined);
  const { password, port } = new URL(url);
  await requireRedis(`redis://127.0.0.1:${port}`, password);
  await requireRedis(`redis://default:${password}@127.0.0.1:${port}/1`, undefined);
});

test('of Sentinels and of a cluster it is enough that one answers', async () => {
  const { password, port } = new URL(await privateRedis());
  const hosts = `127.0.0.1:${await freePort()},127.0.0.1:${port}`;
  await requireRedis(`redis+cluster://:${password}@${hosts}`, undefined);
  await requireRedis(`redis+cluster://${hosts}`, password);
  // The credentials in the URL are the master's.
  await requireRedis(`redis+sentinel://:other@${hosts}/main`, undefined, password);
  await expect(requireRedis(`redis+cluster://127.0.0.1:${await freePort()}`, undefined)).rejects.toThrow(
    'ECONNREFUSED',
  );
});

test('a refusal is told without the password', async () => {
  const { port } = new URL(await privateRedis());
  const failure = await requireRedis(`redis://:swordfish@127.0.0.1:${port}`, undefined).catch(
    (error) => error,
  );
  expect(failure.message).toMatch(/REDIS_URL cannot be used: WRONGPASS/);
  expect(failure.message).not.toContain('swordfish');
});

test('what is not there, not Redis or not a URL is told apart', async () => {
  const web = createServer((_, res) => res.end('hello'));
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void web.close());
  const { port } = web.address() as AddressInfo;
  await expect(requireRedis(`redis://127.0.0.1:${await freePort()}`, undefined)).rejects.toThrow(
    'ECONNREFUSED',
  );
  await expect(requireRedis(`redis://127.0.0.1:${port}`, undefined)).rejects.toThrow('not Redis');
  await expect(requireRedis('redis://:a#b/c@host', undefined)).rejects.toThrow('percent-encode');
  await expect(requireRedis('http://127.0.0.1', undefined)).rejects.toThrow('must begin with redis://');
});
