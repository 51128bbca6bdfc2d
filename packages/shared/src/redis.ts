import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis';
import { reopenable } from './cluster-connect.ts';
import { clusterSubscriber } from './cluster-subscriber.ts';
import type { Logger } from './logger.ts';
import { replaceSilentNodes, replaceWhenSilent } from './redis-silence.ts';
import { parseRedisUrl, type RedisAddress } from './redis-url.ts';
import { MasterConnector } from './sentinel-connector.ts';

export interface RedisTarget {
  /** As {@link parseRedisUrl} reads it. */
  url: string;
  /** Taken as it is, so that nobody has to percent-encode it into the URL, and in place of one there. */
  password?: string | undefined;
  /** Of the Sentinels themselves. */
  sentinelPassword?: string | undefined;
}

/** One server, the master behind Sentinels, or a cluster. */
export type RedisConnection = Redis | Cluster;

/**
 * How a process treats a Redis that does not answer.
 *
 * - `gateway`: a caller is waiting, so fail fast
 * - `worker`: work in hand is worth more than an answer, so wait for Redis, however long. Never a command
 *   timeout: a command given up may still land.
 * - `subscriber`: nothing but pub/sub; waits, and subscribes again
 * - `optional`: what it holds can be had without it, so it gets half a second
 */
export type RedisRole = 'gateway' | 'worker' | 'subscriber' | 'optional';

const REPORT_AGAIN_MS = 60_000;

const backoff = (attempt: number) => Math.min(50 * 2 ** Math.min(attempt, 5), 1_000);

const roles: Record<RedisRole, RedisOptions> = {
  gateway: { maxRetriesPerRequest: 1, enableOfflineQueue: false, commandTimeout: 5_000 },
  worker: { maxRetriesPerRequest: null },
  subscriber: { maxRetriesPerRequest: null },
  optional: { maxRetriesPerRequest: 0, enableOfflineQueue: false, commandTimeout: 500 },
};

/**
 * A redirection is what a cluster says while slots or masters move. With a pause of 100 ms before each, a gateway gives
 * up after a second or two, a worker's command after a minute; that is then a refusal like any other.
 */
const clusterRoles: Record<'gateway' | 'worker' | 'optional', ClusterOptions> = {
  gateway: { enableOfflineQueue: false, maxRedirections: 16, retryDelayOnFailover: 0 },
  worker: { maxRedirections: 600, retryDelayOnFailover: 100 },
  optional: { enableOfflineQueue: false, maxRedirections: 2, retryDelayOnFailover: 0 },
};

const common = {
  connectTimeout: 5_000,
  retryStrategy: backoff,
  // A Redis that still loads is asked again after the time it guesses at, which may be ten seconds too much. Whoever comes later
  // is in sooner then, and finds the leases of those who wait expired.
  maxLoadingRetryTime: 250,
  lazyConnect: false,
};

/** Opens a connection of the given role; it keeps reconnecting until it is closed. */
export function connect(target: RedisTarget, role: 'subscriber', logger: Logger): Redis;
export function connect(target: RedisTarget, role: RedisRole, logger: Logger): RedisConnection;
export function connect(target: RedisTarget, role: RedisRole, logger: Logger): RedisConnection {
  const redis = open(target, role);
  const reported = new Map<string, number>();
  const report = (error: Error) => {
    // ioredis reports every attempt; a line a minute for each kind of trouble is enough.
    const now = performance.now();
    if (now - (reported.get(error.message) ?? Number.NEGATIVE_INFINITY) < REPORT_AGAIN_MS) return;
    reported.set(error.message, now);
    logger.warn({ role, error: error.message }, 'redis is not reachable');
  };
  redis.on('error', report);
  // What a single node of a cluster has to say; `error` only comes when all are out of reach.
  redis.on('node error', report);
  redis.on('ready', () => reported.clear());
  return redis instanceof Cluster ? replaceSilentNodes(redis, logger) : replaceWhenSilent(redis, logger);
}

function open(target: RedisTarget, role: RedisRole): RedisConnection {
  const address = parseRedisUrl(target.url, 'REDIS_PASSWORD');
  const options = { ...roles[role], ...common };
  if (address.kind === 'server') return new Redis(urlOf(target), options);
  const access = { username: address.username, password: target.password ?? address.password };
  const tls = address.tls ? { tls: {} } : {};
  if (address.kind === 'sentinel') {
    return new Redis({ ...options, ...access, ...sentinelOptions(target, address) });
  }
  if (role === 'subscriber') return clusterSubscriber(address.hosts, { ...options, ...access, ...tls });
  const { enableOfflineQueue: _, retryStrategy: __, ...redisOptions } = options;
  const cluster = new Cluster(address.hosts, {
    ...clusterRoles[role],
    clusterRetryStrategy: backoff,
    // Without it a node that is away for a moment is given up, with every command that was on its way.
    clusterNodeRetryStrategy: backoff,
    retryDelayOnMoved: 50,
    slotsRefreshTimeout: 2_000,
    // Nothing else notices that a master which hangs has been replaced. ioredis has no default for it.
    slotsRefreshInterval: 5_000,
    // Names stay names: certificates are made out to them, and addresses behind them change.
    dnsLookup: (host, done) => done(null, host),
    redisOptions: { ...redisOptions, ...access, ...tls },
  });
  // Each node that closes makes ioredis forget that the whole is closed for good, and commands would wait for ever.
  cluster.once('end', () => {
    cluster.on('close', () => {
      cluster.status = 'end';
    });
  });
  return reopenable(cluster);
}

function sentinelOptions(
  { sentinelPassword }: RedisTarget,
  { hosts, master, db, tls }: Extract<RedisAddress, { kind: 'sentinel' }>,
): RedisOptions {
  return {
    sentinels: hosts,
    name: master,
    db,
    ...(sentinelPassword !== undefined && { sentinelPassword }),
    ...(tls && { tls: {}, sentinelTLS: {}, enableTLSForSentinelMode: true }),
    sentinelRetryStrategy: backoff,
    sentinelReconnectStrategy: backoff,
    sentinelCommandTimeout: 2_000,
    // Hears of a failover from the Sentinels: the old master may hang, and never close a connection.
    failoverDetector: true,
    Connector: MasterConnector,
    // The master has become a replica: find the new one there, and send the command that it refused again.
    reconnectOnError: (error) => (/\bREADONLY\b/.test(error.message) ? 2 : false),
  };
}

/** What stands in the URL goes before options with ioredis, an empty password too; so the password goes in there. */
function urlOf({ url, password }: RedisTarget): string {
  if (password === undefined) return url;
  const whole = new URL(url);
  whole.password = encodeURIComponent(password);
  return whole.href;
}

/** The servers that take writes: the one, or each master of a cluster. */
export function mastersOf(redis: RedisConnection): Redis[] {
  return redis instanceof Cluster ? redis.nodes('master') : [redis];
}

/** Waits until the connection is ready to take commands. */
export function whenReady(redis: RedisConnection): Promise<void> {
  if (redis.status === 'ready') return Promise.resolve();
  return new Promise((resolve, reject) => {
    redis.once('ready', resolve);
    redis.once('end', () => reject(new Error('the connection to Redis was closed')));
  });
}

/** What time it is for everybody, in milliseconds since the epoch: processes' clocks may disagree. */
export async function timeOf(redis: RedisConnection): Promise<number> {
  const [seconds, micros] = await redis.time();
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}

const OLDEST_VERSION = [6, 2];

/**
 * Refuses a Redis that would lose runs: older than 6.2, or free to evict keys. Of a cluster, looks at every master.
 *
 * @param options.variable where its URL is set, for the message
 * @throws Error that names every problem and its remedy
 */
export async function checkServer(
  redis: RedisConnection,
  options: { variable: string; allowEviction: boolean },
): Promise<void> {
  const clustered = redis instanceof Cluster;
  const found = await Promise.all(
    mastersOf(redis).map(async (server) => {
      // Managed services often forbid CONFIG; INFO is always there.
      const problems = problemsOf(parseInfo(await server.info()), clustered, options.allowEviction);
      const { host, port } = server.options;
      return problems.map((problem) => (clustered ? `${host}:${port}: ${problem}` : problem));
    }),
  );
  const problems = found.flat();
  if (problems.length > 0) {
    throw new Error(`The Redis of ${options.variable} cannot be used: ${problems.join('; ')}`);
  }
}

function problemsOf(info: Map<string, string>, clustered: boolean, allowEviction: boolean): string[] {
  const mode = info.get('redis_mode') ?? info.get('server_mode');
  if (mode === 'sentinel') {
    return ['it is a Sentinel; write its URL as redis+sentinel://host:port/name-of-the-master'];
  }
  const problems: string[] = [];
  if (mode === 'cluster' && !clustered) {
    problems.push('it is a node of a cluster; write its URL as redis+cluster://host:port');
  }
  const version = info.get('redis_version') ?? '0';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_VERSION;
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
    problems.push(`it is version ${version}; use Redis 6.2 or later, or Valkey`);
  }
  const policy = info.get('maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction' && !allowEviction) {
    problems.push(
      `its maxmemory-policy is ${policy}, under which it may drop runs; set maxmemory-policy noeviction ` +
        '(a cache belongs in another instance), or set ALLOW_EVICTION=1 to accept the loss',
    );
  }
  return problems;
}

/** How full the memory is, from 0 to 1, of a cluster that of its fullest master; 0 without a `maxmemory`, or when it is not told. */
export async function memoryUse(redis: RedisConnection): Promise<number> {
  const uses = await Promise.all(
    mastersOf(redis).map(async (server) => {
      const info = parseInfo(await server.info('memory'));
      const most = Number(info.get('maxmemory') ?? 0);
      return most > 0 ? Number(info.get('used_memory') ?? 0) / most : 0;
    }),
  );
  return Math.max(0, ...uses);
}

/** The answer to `INFO`, by field. */
export function parseInfo(text: string): Map<string, string> {
  return new Map(
    text
      .split('\r\n')
      .map((line) => line.split(':'))
      .filter((parts) => parts.length >= 2)
      .map(([name, ...value]) => [name ?? '', value.join(':')]),
  );
}
