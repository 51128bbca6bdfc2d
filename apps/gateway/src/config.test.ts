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
