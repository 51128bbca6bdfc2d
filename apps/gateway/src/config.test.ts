import { ConfigError } from '@millrace/shared/config';
import { expect, it } from 'vitest';
import { isLoopback, readConfig } from './config.ts';

const problems = (env: Record<string, string>): string[] => {
  try {
    readConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

it('listens where the LangGraph clients look', () => {
  expect(readConfig({})).toMatchObject({
    host: '127.0.0.1',
    port: 2024,
    apiKeys: [],
    maxBodyBytes: 1024 * 1024,
    waitMs: 20_000,
    prefix: 'millrace',
    limits: { openRuns: 100_000, openRunsPerTenant: 10_000, queuedBytes: 268_435_456, memoryPercent: 85 },
  });
});

it('tells all problems at once, and no secret', () => {
  const found = problems({
    HOST: '0.0.0.0',
    PORT: 'http',
    REDIS_URL: 'redis://:hunter2#@h',
    WAIT_SECONDS: '90',
    LOG_LEVEL: 'loud',
  });
  expect(found.map((one) => one.split(':')[0])).toEqual([
    'REDIS_URL',
    'PORT',
    'LOG_LEVEL',
    'API_KEYS',
    'WAIT_SECONDS',
  ]);
  expect(found.join()).not.toContain('hunter2');
});

it.each(['0.0.0.0', '::', '10.0.0.1', 'gateway'])('does not open %s to everybody', (host) => {
  expect(problems({ HOST: host })).toHaveLength(1);
  expect(problems({ HOST: host, API_KEYS: 'k' })).toEqual([]);
});

it.each(['localhost', '127.0.0.2', '::1', 'api.localhost'])('takes %s for this machine alone', (host) => {
  expect(isLoopback(host)).toBe(true);
});

it('keeps hashes of keys, not keys', () => {
  const { apiKeys } = readConfig({ API_KEYS: 'one, acme:two,' });
  expect(apiKeys.map((one) => one.tenant)).toEqual(['default', 'acme']);
  expect(apiKeys[0]?.hash).toHaveLength(32);
});

it.each([
  ['acme:', 'entry 1'],
  ['k,a b', 'entry 2'],
  ['k,/:x', 'entry 2'],
  ['a:same,b:same', 'tenants a and b'],
])('says what is wrong with API_KEYS=%s', (keys, wanted) => {
  const [problem = ''] = problems({ API_KEYS: keys });
  expect(problem).toContain(wanted);
});

it.each([
  ['a cluster', { REDIS_READ_URL: 'redis+cluster://h:6379' }, 'no cluster'],
  ['Sentinels', { REDIS_READ_URL: 'redis+sentinel://h:26379/m' }, 'no Sentinels'],
  ['the primary', { REDIS_URL: 'redis://h', REDIS_READ_URL: 'redis://h' }, 'is REDIS_URL itself'],
  [
    'a replica of a cluster',
    { REDIS_URL: 'redis+cluster://h', REDIS_READ_URL: 'redis://r' },
    'cannot be used with a cluster',
  ],
  [
    'a replica of nothing',
    { CHECKPOINT_REDIS_READ_URL: 'redis://r' },
    'CHECKPOINT_REDIS_URL, which is not set',
  ],
])('reads no lists from %s', (_, env, wanted) => {
  // With another mistake, so that all are seen to be told at once.
  const found = problems({ ...env, PORT: 'http' });
  expect(found).toHaveLength(2);
  expect(found[1]).toContain(wanted);
});

it('says nothing of a replica while its primary cannot be read', () => {
  const found = problems({ REDIS_URL: 'http://h', REDIS_READ_URL: 'redis://r' });
  expect(found.map((one) => one.split(':')[0])).toEqual(['REDIS_URL']);
});

it('reads lists from a replica with the password of its primary, and checkpoints from their own', () => {
  const env = { REDIS_READ_URL: 'redis://r', REDIS_PASSWORD: 'secret' };
  const { main, checkpoints } = readConfig(env).replicas;
  expect(main).toEqual({ url: 'redis://r', password: 'secret' });
  expect(checkpoints).toBe(main);
  expect(readConfig({ ...env, CHECKPOINT_REDIS_URL: 'redis://c' }).replicas.checkpoints).toBeUndefined();
});

it.each([
  ['acme', 'entry 1'],
  ['acme:gold,globex:no.dots', 'entry 2'],
  ['acme:gold,acme:silver', 'names acme a second time'],
  ['acme:gold,initech:gold', 'no key in API_KEYS belongs to initech'],
])('says what is wrong with TENANT_QUEUES=%s', (queues, wanted) => {
  const found = problems({ TENANT_QUEUES: queues, API_KEYS: 'acme:one,globex:two', PORT: 'http' });
  expect(found).toHaveLength(2);
  expect(found.join()).toContain(wanted);
});
