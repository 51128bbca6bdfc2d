import { Redis, type RedisOptions } from 'ioredis';
import type { Logger } from './logger.ts';

export interface RedisTarget {
  /** `redis://` or `rediss://`. */
  url: string;
  /** Taken as it is, so that nobody has to percent-encode it into the URL, and in place of one there. */
  password?: string | undefined;
}

/**
 * How a process treats a Redis that does not answer.
 *
 * - `gateway`: a caller is waiting, so fail fast
 * - `worker`: work in hand is worth more than an answer, so wait for Redis, however long. Never a command
 *   timeout: a command given up may still land.
 * - `subscriber`: nothing but pub/sub; waits, and subscribes again
 */
export type RedisRole = 'gateway' | 'worker' | 'subscriber';

const roles: Record<RedisRole, RedisOptions> = {
  gateway: { maxRetriesPerRequest: 1, enableOfflineQueue: false, commandTimeout: 5_000 },
  worker: { maxRetriesPerRequest: null },
  subscriber: { maxRetriesPerRequest: null },
};

/** Opens a connection of the given role; it keeps reconnecting until it is closed. */
export function connect(target: RedisTarget, role: RedisRole, logger: Logger): Redis {
  const redis = new Redis(urlOf(target), {
    ...roles[role],
    connectTimeout: 5_000,
    retryStrategy: (attempt) => Math.min(50 * 2 ** Math.min(attempt, 5), 1_000),
    lazyConnect: false,
  });
  let lastError = '';
  redis.on('error', (error: Error) => {
    // ioredis reports every attempt; one line for each kind of trouble is enough.
    if (error.message !== lastError) logger.warn({ role, error: error.message }, 'redis is not reachable');
    lastError = error.message;
  });
  redis.on('ready', () => {
    lastError = '';
  });
  return redis;
}

/** What stands in the URL goes before options with ioredis, an empty password too; so the password goes in there. */
function urlOf({ url, password }: RedisTarget): string {
  if (password === undefined) return url;
  const whole = new URL(url);
  whole.password = encodeURIComponent(password);
  return whole.href;
}

/** Waits until the connection is ready to take commands. */
export function whenReady(redis: Redis): Promise<void> {
  if (redis.status === 'ready') return Promise.resolve();
  return new Promise((resolve, reject) => {
    redis.once('ready', resolve);
    redis.once('end', () => reject(new Error('the connection to Redis was closed')));
  });
}

const OLDEST_VERSION = [6, 2];

/**
 * Refuses a Redis that would lose runs: older than 6.2, or free to evict keys.
 *
 * @throws Error that names every problem and its remedy
 */
export async function checkServer(redis: Redis, options: { allowEviction?: boolean } = {}): Promise<void> {
  // Managed services often forbid CONFIG; INFO is always there.
  const info = parseInfo(await redis.info());
  const problems: string[] = [];
  const version = info.get('redis_version') ?? '0';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_VERSION;
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
    problems.push(`it is version ${version}; use Redis 6.2 or later, or Valkey`);
  }
  const policy = info.get('maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction' && !options.allowEviction) {
    problems.push(
      `its maxmemory-policy is ${policy}, under which it may drop runs; set maxmemory-policy noeviction ` +
        '(a cache belongs in another instance), or set ALLOW_EVICTION=1 to accept the loss',
    );
  }
  if (problems.length > 0) throw new Error(`This Redis cannot be used: ${problems.join('; ')}`);
}

/** How full the server's memory is, from 0 to 1; 0 when it has no `maxmemory`, or does not say. */
export async function memoryUse(redis: Redis): Promise<number> {
  const info = parseInfo(await redis.info('memory'));
  const most = Number(info.get('maxmemory') ?? 0);
  return most > 0 ? Number(info.get('used_memory') ?? 0) / most : 0;
}

function parseInfo(text: string): Map<string, string> {
  return new Map(
    text
      .split('\r\n')
      .map((line) => line.split(':'))
      .filter((parts) => parts.length >= 2)
      .map(([name, ...value]) => [name ?? '', value.join(':')]),
  );
}
