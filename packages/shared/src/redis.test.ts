import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { createLogger } from './logger.ts';
import { connect } from './redis.ts';

it.each(['redis://127.0.0.1:1', 'redis://user@127.0.0.1:1', 'redis://user:old@127.0.0.1:1/3'])(
  'takes a password from beside %s as it is',
  (url) => {
    const redis = connect({ url, password: 'a/b#c?d%e@f:g' }, 'gateway', createLogger('test', 'silent'));
    redis.disconnect();
    if (!(redis instanceof Redis)) throw new Error('not one server');
    expect(redis.options.password).toBe('a/b#c?d%e@f:g');
    expect(redis.options).toMatchObject({ host: '127.0.0.1', port: 1 });
    if (url.includes('user')) expect(redis.options.username).toBe('user');
  },
);
