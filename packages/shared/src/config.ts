import type { z } from 'zod';
import { days, flag, hours, oneOf, optionalText, text, variable, wholeNumber } from './config-fields.ts';
import { DEFAULT_PREFIX } from './keys.ts';
import { logLevels } from './logger.ts';
import type { RedisTarget } from './redis.ts';
import { parseRedisUrl } from './redis-url.ts';
import type { Retention } from './run-moves.ts';

/** Everything that is wrong with the environment, in one message that shows no value. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** Each as `NAME: what is wrong and what to do`. */
  readonly problems: string[];

  constructor(problems: string[]) {
    super(`The configuration cannot be used:\n${problems.map((one) => `  ${one}`).join('\n')}`);
    this.problems = problems;
  }
}

/**
 * Reads an environment by a schema whose fields are the variables' names. An empty variable counts as unset.
 *
 * @throws ConfigError with every problem there is
 */
export function loadConfig<T extends z.ZodType>(
  schema: T,
  env: Record<string, string | undefined>,
): z.infer<T> {
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value?.trim()));
  const result = schema.safeParse(set);
  if (result.success) return result.data;
  throw new ConfigError(result.error.issues.map((one) => `${one.path.join('.')}: ${one.message}`));
}

/** Field of `LOG_LEVEL`. */
export const logLevel = oneOf(logLevels, 'info');

/** Fields of what gateway and worker must agree on about Redis; {@link toRedis} makes values of them. */
export const redisConfig = {
  REDIS_URL: variable('redis://127.0.0.1:6379', (given) => checkedUrl(given, 'REDIS_PASSWORD')),
  REDIS_PASSWORD: optionalText(),
  REDIS_SENTINEL_PASSWORD: optionalText(),
  REDIS_PREFIX: text(
    DEFAULT_PREFIX,
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    'up to 64 letters, digits, dots, dashes and underscores',
  ),
  CHECKPOINT_BACKEND: oneOf(['redis'], 'redis'),
  CHECKPOINT_REDIS_URL: variable<string | undefined>(undefined, (given) =>
    checkedUrl(given, 'CHECKPOINT_REDIS_PASSWORD'),
  ),
  CHECKPOINT_REDIS_PASSWORD: optionalText(),
  CHECKPOINT_REDIS_SENTINEL_PASSWORD: optionalText(),
  ALLOW_EVICTION: flag(false),
};

/** A Redis URL as it is given, checked. */
export function checkedUrl(url: string, passwordVariable: string): string {
  parseRedisUrl(url, passwordVariable);
  return url;
}

export interface RedisConfig {
  redis: RedisTarget;
  /** The same object as `redis` unless checkpoints have a Redis of their own. */
  checkpointRedis: RedisTarget;
  prefix: string;
  /** Use a Redis that may evict keys, and so lose runs. */
  allowEviction: boolean;
}

export function toRedis(env: z.infer<z.ZodObject<typeof redisConfig>>): RedisConfig {
  const redis = {
    url: env.REDIS_URL,
    password: env.REDIS_PASSWORD,
    sentinelPassword: env.REDIS_SENTINEL_PASSWORD,
  };
  return {
    redis,
    checkpointRedis:
      env.CHECKPOINT_REDIS_URL === undefined
        ? redis
        : {
            url: env.CHECKPOINT_REDIS_URL,
            password: env.CHECKPOINT_REDIS_PASSWORD,
            sentinelPassword: env.CHECKPOINT_REDIS_SENTINEL_PASSWORD,
          },
    prefix: env.REDIS_PREFIX,
    allowEviction: env.ALLOW_EVICTION,
  };
}

/** Fields of how long and how much of what is over is kept; {@link toRetention} makes values of them. */
export const retentionConfig = {
  RUN_RETENTION_HOURS: hours(24),
  RUNS_KEPT: wholeNumber(1000),
  THREAD_RETENTION_DAYS: days(30),
};

export function toRetention(env: z.infer<z.ZodObject<typeof retentionConfig>>): Retention {
  return {
    runsMs: env.RUN_RETENTION_HOURS,
    runsKept: env.RUNS_KEPT,
    threadsMs: env.THREAD_RETENTION_DAYS,
  };
}
