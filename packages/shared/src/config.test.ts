import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  ConfigError,
  loadConfig,
  logLevel,
  redisConfig,
  retentionConfig,
  toRedis,
  toRetention,
} from './config.ts';
import { flag, list, port, seconds, wholeNumber } from './config-fields.ts';
import { parseRedisUrl } from './redis-url.ts';

const schema = z.object({
  ...redisConfig,
  ...retentionConfig,
  LOG_LEVEL: logLevel,
  PORT: port(1234),
  WAIT: seconds(20, { max: 60 }),
  COUNT: wholeNumber(4, { min: 1 }),
  NAMES: list(),
  LOUD: flag(false),
});
const load = (env: Record<string, string>) => loadConfig(schema, env);
const problems = (env: Record<string, string>): string[] => {
  try {
    load(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

it('has a default for everything, and takes an empty variable for none', () => {
  const config = load({ PORT: '', NAMES: '  ' });
  expect(config).toMatchObject({
    PORT: 1234,
    WAIT: 20_000,
    COUNT: 4,
    NAMES: [],
    LOUD: false,
    LOG_LEVEL: 'info',
  });
  const redis = toRedis(config);
  expect(redis).toMatchObject({ prefix: 'millrace', allowEviction: false });
  expect(redis.redis.url).toBe('redis://127.0.0.1:6379');
  expect(redis.checkpointRedis).toBe(redis.redis);
  expect(toRetention(config)).toEqual({
    runsMs: 24 * 3600_000,
    runsKept: 1000,
    threadsMs: 30 * 24 * 3600_000,
  });
});

it('reads units', () => {
  const config = load({
    WAIT: '0.5',
    RUN_RETENTION_HOURS: '0',
    THREAD_RETENTION_DAYS: '1.5',
    NAMES: ' a, ,b ',
    LOUD: 'yes',
  });
  expect(config).toMatchObject({ WAIT: 500, NAMES: ['a', 'b'], LOUD: true });
  expect(toRetention(config)).toEqual({ runsMs: 0, runsKept: 1000, threadsMs: 36 * 3600_000 });
});

it('tells all problems at once', () => {
  const found = problems({
    REDIS_URL: 'http://x',
    CHECKPOINT_BACKEND: 'postgres',
    LOG_LEVEL: 'loud',
    PORT: '70000',
    WAIT: '61',
    COUNT: '0',
    LOUD: 'maybe',
    REDIS_PREFIX: '{x}',
    RUN_RETENTION_HOURS: 'long',
  });
  expect(found.map((one) => one.split(':')[0])).toEqual([
    'REDIS_URL',
    'REDIS_PREFIX',
    'CHECKPOINT_BACKEND',
    'RUN_RETENTION_HOURS',
    'LOG_LEVEL',
    'PORT',
    'WAIT',
    'COUNT',
    'LOUD',
  ]);
});

describe('a Redis URL', () => {
  it.each([
    ['redis://:sec/ret@host', '"/"', '%2F'],
    ['redis://:sec#ret@host:6379', '"#"', '%23'],
    ['rediss://user:sec?ret@host', '"?"', '%3F'],
    // Without a look of our own, this is host `user`, port 12.
    ['redis://user:12/sec@host', '"/"', '%2F'],
    ['redis://:sec%ret@host', '"%"', '%25'],
  ])('%s: says which character is wrong, and shows nothing', (url, character, encoded) => {
    const [problem = ''] = problems({ REDIS_URL: url });
    expect(problem).toContain(character);
    expect(problem).toContain(encoded);
    expect(problem).toContain('REDIS_PASSWORD');
    expect(problem).not.toMatch(/sec|ret/);
  });

  it.each(['redis://', 'redis://:p@host:99999', 'redis://host/db', 'host:6379'])('refuses %s', (url) => {
    expect(problems({ REDIS_URL: url })).toHaveLength(1);
  });

  it.each([
    ['http://host', 'redis+sentinel:// or redis+cluster://'],
    ['redis-sentinel://host/m', 'redis+sentinel:// or redis+cluster://'],
    ['redis://:sec@a:1,b:2', 'names several hosts'],
    ['redis+sentinel://:sec@a:1,b:2', 'does not name the master'],
    ['redis+sentinel://:sec@a:1,b:2/0/1/2', 'is not a URL like redis+sentinel://'],
    ['redis+sentinel://:sec@a:1,b:2/m/x', 'is not a URL like redis+sentinel://'],
    ['redis+sentinel://:sec@a:1,,b/m', 'host 2'],
    ['redis+sentinel://:sec/ret@a/m', '%2F'],
    ['redis+cluster://:sec@a:1,b:70000', 'host 2'],
    ['redis+cluster://:sec@', 'host 1'],
    ['redis+cluster://sec#ret', 'host 1'],
    ['redis+cluster://:sec@a:1/3', 'names a database'],
    ['rediss+cluster://u:sec%ret@a', '%25'],
  ])('%s: says what is wrong with it, and shows no password', (url, words) => {
    for (const name of ['REDIS_URL', 'CHECKPOINT_REDIS_URL']) {
      const [problem = ''] = problems({ [name]: url });
      expect(problem).toContain(words);
      expect(problem.split(':')[0]).toBe(name);
      expect(problem).not.toMatch(/sec|ret/);
    }
  });

  it.each([
    'redis://h',
    'rediss://u:p%23%25@h:1/3',
    'redis://[::1]:6379',
    'redis://:a@b@h',
    'redis+sentinel://h/mymaster',
    'rediss+sentinel://u:p%2F@h1:1,[::1]:2,h3/my.master-1/2',
    'redis+cluster://h',
    'rediss+cluster://u:a@b@h1:1,h2:2/0',
  ])('takes %s', (url) => {
    expect(problems({ REDIS_URL: url, CHECKPOINT_REDIS_URL: url })).toEqual([]);
  });

  it('of several hosts is read as it was meant', () => {
    expect(parseRedisUrl('rediss+sentinel://u:p%2F:q@h1:1,[::1]:2,h3/main/2', 'P')).toEqual({
      kind: 'sentinel',
      tls: true,
      hosts: [
        { host: 'h1', port: 1 },
        { host: '::1', port: 2 },
        { host: 'h3', port: 26379 },
      ],
      master: 'main',
      db: 2,
      username: 'u',
      password: 'p/:q',
    });
    expect(parseRedisUrl('redis+cluster://:a@b@h1:1,h2', 'P')).toEqual({
      kind: 'cluster',
      tls: false,
      hosts: [
        { host: 'h1', port: 1 },
        { host: 'h2', port: 6379 },
      ],
      username: undefined,
      password: 'a@b',
    });
  });
});
