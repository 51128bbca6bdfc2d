import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import {
  loadConfig,
  logLevel,
  type RedisConfig,
  redisConfig,
  retentionConfig,
  toRedis,
  toRetention,
} from '@millrace/shared/config';
import {
  flag,
  list,
  port,
  seconds,
  text,
  VariableFault,
  variable,
  wholeNumber,
} from '@millrace/shared/config-fields';
import { type TracingConfig, toTracing, tracingConfig } from '@millrace/shared/config-tracing';
import type { LogLevel } from '@millrace/shared/logger';
import type { RedisTarget } from '@millrace/shared/redis';
import { parseRedisUrl } from '@millrace/shared/redis-url';
import type { Retention } from '@millrace/shared/run-moves';
import { z } from 'zod';
import type { CapacityLimits } from './capacity.ts';

/** A caller's credential; the key itself is not kept. */
export interface ApiKey {
  tenant: string;
  /** SHA-256 of the key. */
  hash: Buffer;
}

export interface GatewayConfig extends RedisConfig {
  host: string;
  port: number;
  /** Port of probes and metrics when they have one of their own. */
  opsPort: number | undefined;
  /** Empty: no credentials are asked for, and everybody is tenant `default`. */
  apiKeys: ApiKey[];
  /** Tenant → the part of each graph's queue that its runs travel in; others take the queue itself. */
  tenantQueues: ReadonlyMap<string, string>;
  /** Host names, besides the loopback ones, under which the gateway may be addressed; `*` is any. */
  allowedHosts: string[];
  /** Origins, besides loopback ones, from which browsers may call; `*` is any. */
  allowedOrigins: string[];
  maxBodyBytes: number;
  limits: CapacityLimits;
  /** Whose backlogs the metrics show; empty unless asked for. */
  metricsTenants: string[];
  logLevel: LogLevel;
  tracing: TracingConfig;
  retention: Retention;
  /** How many replicas of Redis must have a run before it is accepted. */
  waitReplicas: number;
  /** Where lists may be read. One object when checkpoints are on the same Redis. */
  replicas: { main: RedisTarget | undefined; checkpoints: RedisTarget | undefined };
  /** How long `POST /message` waits for the answer unless told, in milliseconds. */
  waitMs: number;
  /** And how long at most, whatever it is told. */
  maxWaitMs: number;
  /** How long an MCP call waits before its run is handed over as a task, in milliseconds. */
  taskAfterMs: number;
  /** How long a client may leave what was sent to it unread, in milliseconds. */
  stallMs: number;
  /** How long requests may take to finish when the gateway leaves, in milliseconds. */
  drainMs: number;
  exitOnStdinClose: boolean;
}

export const DEFAULT_TENANT = 'default';

const shape = {
  ...redisConfig,
  ...retentionConfig,
  ...tracingConfig,
  HOST: text('127.0.0.1', /^[A-Za-z0-9.:_-]+$/, 'a host name or address without a port'),
  PORT: port(2024),
  OPS_PORT: variable<number | undefined>(undefined, (given) => {
    if (!/^\d{1,5}$/.test(given) || Number(given) > 65535) {
      throw new VariableFault('must be a whole number, from 0 to 65535');
    }
    return Number(given);
  }),
  API_KEYS: variable<ApiKey[]>([], readApiKeys),
  TENANT_QUEUES: variable<ReadonlyMap<string, string>>(new Map(), readTenantQueues),
  ALLOWED_HOSTS: list(),
  ALLOWED_ORIGINS: list(),
  REDIS_WAIT_REPLICAS: wholeNumber(0, { max: 10 }),
  REDIS_READ_URL: variable<string | undefined>(undefined, (given) => replicaUrl(given, 'REDIS_PASSWORD')),
  CHECKPOINT_REDIS_READ_URL: variable<string | undefined>(undefined, (given) =>
    replicaUrl(given, 'CHECKPOINT_REDIS_PASSWORD'),
  ),
  MAX_BODY_BYTES: wholeNumber(1024 * 1024, { min: 1024, max: 64 * 1024 * 1024 }),
  MAX_OPEN_RUNS: wholeNumber(100_000),
  MAX_OPEN_RUNS_PER_TENANT: wholeNumber(10_000),
  MAX_QUEUED_BYTES: wholeNumber(256 * 1024 * 1024),
  SHED_MEMORY_PERCENT: wholeNumber(85, { max: 100 }),
  METRICS_TENANTS: flag(false),
  LOG_LEVEL: logLevel,
  WAIT_SECONDS: seconds(20, { max: 3600 }),
  WAIT_MAX_SECONDS: seconds(60, { max: 3600 }),
  TASK_AFTER_SECONDS: seconds(1, { max: 60 }),
  CLIENT_STALL_SECONDS: seconds(30, { min: 1, max: 3600 }),
  DRAIN_SECONDS: seconds(25, { max: 600 }),
  EXIT_ON_STDIN_CLOSE: flag(false),
};

const variables = z.object(shape);

/** The names of all variables. */
export const gatewayVariables: readonly string[] = Object.keys(shape);

/** All variables of the gateway; `.env.example` says what each one means. */
const gatewayConfig = variables
  .refine((env) => isLoopback(String(env.HOST)) || env.API_KEYS.length !== 0, {
    path: ['API_KEYS'],
    message:
      'must be set when HOST is not a loopback address: whoever reaches the port could use every thread',
    // Also when another variable is at fault, so that all problems are told at once.
    when: ({ value }) => read(value, 'HOST', 'string') && read(value, 'API_KEYS', 'object'),
  })
  .refine((env) => env.WAIT_SECONDS <= env.WAIT_MAX_SECONDS, {
    path: ['WAIT_SECONDS'],
    message: 'must not be more than WAIT_MAX_SECONDS',
    when: ({ value }) => read(value, 'WAIT_SECONDS', 'number') && read(value, 'WAIT_MAX_SECONDS', 'number'),
  })
  .refine((env) => env.REDIS_WAIT_REPLICAS === 0 || !env.REDIS_URL.includes('+cluster:'), {
    path: ['REDIS_WAIT_REPLICAS'],
    message: 'cannot be kept in a cluster; leave it out, and set min-replicas-to-write on its masters',
    when: ({ value }) => read(value, 'REDIS_WAIT_REPLICAS', 'number') && read(value, 'REDIS_URL', 'string'),
  })
  .refine((env) => strangers(env).length === 0, {
    path: ['TENANT_QUEUES'],
    error: ({ input }) => `no key in API_KEYS belongs to ${strangers(input as TenantFields).join(', ')}`,
    when: ({ value }) => {
      const { API_KEYS, TENANT_QUEUES } = value as Partial<TenantFields>;
      return Array.isArray(API_KEYS) && TENANT_QUEUES instanceof Map;
    },
  })
  .refine(...replicaRule('REDIS_READ_URL', 'REDIS_URL'))
  .refine(...replicaRule('CHECKPOINT_REDIS_READ_URL', 'CHECKPOINT_REDIS_URL'))
  .transform(
    (env): GatewayConfig => ({
      ...toRedis(env),
      host: env.HOST,
      port: env.PORT,
      opsPort: env.OPS_PORT,
      apiKeys: env.API_KEYS,
      tenantQueues: env.TENANT_QUEUES,
      allowedHosts: env.ALLOWED_HOSTS,
      allowedOrigins: env.ALLOWED_ORIGINS,
      maxBodyBytes: env.MAX_BODY_BYTES,
      limits: {
        openRuns: env.MAX_OPEN_RUNS,
        openRunsPerTenant: env.MAX_OPEN_RUNS_PER_TENANT,
        queuedBytes: env.MAX_QUEUED_BYTES,
        memoryPercent: env.SHED_MEMORY_PERCENT,
      },
      metricsTenants: env.METRICS_TENANTS ? tenantsOf(env.API_KEYS) : [],
      logLevel: env.LOG_LEVEL,
      tracing: toTracing(env),
      retention: toRetention(env),
      waitReplicas: env.REDIS_WAIT_REPLICAS,
      replicas: replicasOf(env),
      waitMs: env.WAIT_SECONDS,
      maxWaitMs: env.WAIT_MAX_SECONDS,
      taskAfterMs: env.TASK_AFTER_SECONDS,
      stallMs: env.CLIENT_STALL_SECONDS,
      drainMs: env.DRAIN_SECONDS,
      exitOnStdinClose: env.EXIT_ON_STDIN_CLOSE,
    }),
  );

/** @throws ConfigError with every problem there is */
export function readConfig(env: Record<string, string | undefined> = process.env): GatewayConfig {
  return loadConfig(gatewayConfig, env);
}

function tenantsOf(keys: ApiKey[]): string[] {
  return keys.length === 0 ? [DEFAULT_TENANT] : [...new Set(keys.map((key) => key.tenant))];
}

/** A replica is one server, or the one address of several: which node has a key is not asked. */
function replicaUrl(given: string, passwordVariable: string): string {
  const { kind } = parseRedisUrl(given, passwordVariable);
  if (kind === 'server') return given;
  throw new VariableFault(
    'must be the address of a replica, as redis://host:6379; no cluster and no Sentinels',
  );
}

/** What can be wrong between a replica's address and its primary's, as arguments of `refine`. */
function replicaRule<R extends string, P extends string>(replica: R, primary: P) {
  type Fields = { [name in R | P]?: string | undefined };
  const faultOf = ({ [replica]: of, [primary]: from }: Fields): string | undefined => {
    if (of === undefined) return undefined;
    if (from === undefined) return `names a replica of ${primary}, which is not set; leave it out`;
    if (of === from) return `is ${primary} itself; name a replica of it, or leave it out`;
    return from.includes('+cluster:') ? `cannot be used with a cluster; leave it out` : undefined;
  };
  const sound: [(env: Fields) => boolean, object] = [
    (env) => faultOf(env) === undefined,
    {
      path: [replica],
      error: ({ input }: { input?: unknown }) => faultOf(input as Fields),
      when: ({ value }: { value: unknown }) =>
        read(value, replica, 'string') &&
        (read(value, primary, 'string') || read(value, primary, 'undefined')),
    },
  ];
  return sound;
}

function replicasOf(env: z.infer<typeof variables>): GatewayConfig['replicas'] {
  const target = (url: string | undefined, password: string | undefined): RedisTarget | undefined =>
    url === undefined ? undefined : { url, password };
  const main = target(env.REDIS_READ_URL, env.REDIS_PASSWORD);
  const own = target(env.CHECKPOINT_REDIS_READ_URL, env.CHECKPOINT_REDIS_PASSWORD);
  return { main, checkpoints: env.CHECKPOINT_REDIS_URL === undefined ? main : own };
}

/** Whether only this machine can use the name or address. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase();
  if (name === 'localhost' || name.endsWith('.localhost') || name === '::1' || name === '[::1]') return true;
  return isIP(name) === 4 && name.startsWith('127.');
}

interface TenantFields {
  API_KEYS: ApiKey[];
  TENANT_QUEUES: ReadonlyMap<string, string>;
}

/** Tenants with a part of the queues that nobody can be. */
function strangers({ API_KEYS, TENANT_QUEUES }: TenantFields): string[] {
  const known = tenantsOf(API_KEYS);
  return [...TENANT_QUEUES.keys()].filter((tenant) => !known.includes(tenant));
}

function readTenantQueues(given: string): ReadonlyMap<string, string> {
  const parts = new Map<string, string>();
  for (const [i, entry] of given.split(',').entries()) {
    const [, tenant = '', part = ''] =
      /^([A-Za-z0-9._-]{1,64}):([A-Za-z0-9][A-Za-z0-9_-]{0,31})$/.exec(entry.trim()) ?? [];
    if (tenant === '') {
      throw new VariableFault(
        `entry ${i + 1}: must be tenant:name, the name of letters, digits, _ and -, at most 32`,
      );
    }
    if (parts.has(tenant)) throw new VariableFault(`entry ${i + 1}: names ${tenant} a second time`);
    parts.set(tenant, part);
  }
  return parts;
}

function readApiKeys(given: string): ApiKey[] {
  const keys = given
    .split(',')
    .map((entry, i) => ({ entry: entry.trim(), position: i + 1 }))
    .filter(({ entry }) => entry !== '')
    .map(({ entry, position }) => readApiKey(entry, position));
  const seen = new Map<string, string>();
  for (const { tenant, hash } of keys) {
    const other = seen.get(hash.toString('hex')) ?? tenant;
    if (other !== tenant) throw new VariableFault(`gives the same key to tenants ${other} and ${tenant}`);
    seen.set(hash.toString('hex'), tenant);
  }
  return keys;
}

function readApiKey(entry: string, position: number): ApiKey {
  const colon = entry.indexOf(':');
  const tenant = colon === -1 ? DEFAULT_TENANT : entry.slice(0, colon);
  const key = entry.slice(colon + 1);
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(tenant)) {
    throw new VariableFault(
      `entry ${position}: the tenant before the colon must be 1 to 64 letters, digits, dots, dashes and underscores`,
    );
  }
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new VariableFault(
      `entry ${position}: the key must be printable ASCII without spaces; it may not be empty`,
    );
  }
  return { tenant, hash: createHash('sha256').update(key).digest() };
}

/** Whether a variable could be read; one that could not has its own message. */
function read(values: unknown, name: string, type: string): boolean {
  return typeof values === 'object' && values !== null && typeof Reflect.get(values, name) === type;
}
