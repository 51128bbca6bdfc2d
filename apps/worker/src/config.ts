import {
  checkedUrl,
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
  optionalText,
  port,
  seconds,
  text,
  variable,
  wholeNumber,
} from '@millrace/shared/config-fields';
import { type TracingConfig, toTracing, tracingConfig } from '@millrace/shared/config-tracing';
import type { LogLevel } from '@millrace/shared/logger';
import type { RedisTarget } from '@millrace/shared/redis';
import type { Retention } from '@millrace/shared/run-moves';
import { z } from 'zod';
import { type McpServer, readMcpServers } from './mcp/server-file.ts';
import { type ModelPrices, readModelPrices } from './model-prices.ts';

const schema = z.object({
  ...redisConfig,
  ...retentionConfig,
  ...tracingConfig,
  WORKER_HOST: text('127.0.0.1'),
  WORKER_PORT: port(9464),
  WORKER_CONCURRENCY: wholeNumber(4, { min: 1, max: 1000 }),
  WORKER_QUEUES: list(),
  LANGGRAPH_CONFIG: optionalText(),
  MODEL: optionalText(/^(demo|[a-z0-9_-]+:.+)$/, 'provider:name (for example openai:gpt-5-mini), or demo'),
  MODEL_BASE_URL: optionalText(/^https?:\/\/\S+$/, 'an http or https URL'),
  MODEL_TIMEOUT: seconds(60, { min: 1, max: 3600 }),
  MODEL_MAX_TOKENS: wholeNumber(4096, { min: 1 }),
  MODEL_PRICES: variable<ModelPrices | undefined>(undefined, readModelPrices),
  LEASE_SECONDS: seconds(10, { min: 1, max: 3600 }),
  DRAIN_SECONDS: seconds(25, { min: 1, max: 3600 }),
  CRASH_BUDGET: wholeNumber(3, { min: 0, max: 1000 }),
  RUN_TIMEOUT_SECONDS: seconds(3600),
  RECURSION_LIMIT: wholeNumber(100, { min: 1 }),
  CHECKPOINTS_KEPT: wholeNumber(100),
  ENABLE_CACHE: flag(false),
  CACHE_TTL: seconds(300, { min: 1, max: 30 * 24 * 3600 }),
  CACHE_REDIS_URL: variable<string | undefined>(undefined, (given) =>
    checkedUrl(given, 'CACHE_REDIS_PASSWORD'),
  ),
  CACHE_REDIS_PASSWORD: optionalText(),
  CACHE_REDIS_SENTINEL_PASSWORD: optionalText(),
  NODE_ENV: optionalText(),
  EXIT_ON_STDIN_CLOSE: flag(false),
  LOG_LEVEL: logLevel,
});

/** With what needs other variables to be read. */
const schemaOf = (env: Record<string, string | undefined>) =>
  schema.extend({
    MCP_SERVERS: variable<McpServer[]>([], (path) => readMcpServers(path, (name) => env[name])),
  });

/** The names of all variables. */
export const workerVariables: readonly string[] = Object.keys(schemaOf({}).shape);

/** What one worker process is told. Times are milliseconds. */
export interface WorkerConfig extends RedisConfig {
  host: string;
  /** 0 takes any free one. */
  port: number;
  /** Runs at once. */
  concurrency: number;
  /** Queues to take runs from; empty: those of the graphs. */
  queues: string[];
  /** Path of a `langgraph.json`; the built-in agent when absent. */
  langgraphConfig: string | undefined;
  /** Whose tools agents are offered. */
  mcpServers: McpServer[];
  model: {
    name: string | undefined;
    baseUrl: string | undefined;
    timeoutMs: number;
    maxTokens: number;
    nodeEnv: string | undefined;
    hasVariable: (name: string) => boolean;
  };
  /** What models cost; undefined when nobody has said. */
  modelPrices: ModelPrices | undefined;
  leaseMs: number;
  drainMs: number;
  crashBudget: number;
  runTimeoutMs: number;
  recursionLimit: number;
  /** Per thread; 0 keeps all. */
  checkpointsKept: number;
  retention: Retention;
  /** Undefined when nothing is cached. */
  cache:
    | {
        ttlMs: number /** The same object as `redis` unless it has a Redis of its own. */;
        redis: RedisTarget;
      }
    | undefined;
  exitOnStdinClose: boolean;
  logLevel: LogLevel;
  tracing: TracingConfig;
  /** Whether LangChain sends traces to LangSmith; a project's own file of variables may say so later. */
  langsmith: () => boolean;
}

/** A timer that waits longer than this fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** @throws ConfigError with every problem there is */
export function workerConfig(env: Record<string, string | undefined>): WorkerConfig {
  const read = loadConfig(schemaOf(env), env);
  const redis = toRedis(read);
  return {
    ...redis,
    host: read.WORKER_HOST,
    port: read.WORKER_PORT,
    concurrency: read.WORKER_CONCURRENCY,
    queues: read.WORKER_QUEUES,
    langgraphConfig: read.LANGGRAPH_CONFIG,
    mcpServers: read.MCP_SERVERS,
    model: {
      name: read.MODEL,
      baseUrl: read.MODEL_BASE_URL,
      timeoutMs: read.MODEL_TIMEOUT,
      maxTokens: read.MODEL_MAX_TOKENS,
      nodeEnv: read.NODE_ENV,
      hasVariable: (name) => Boolean(env[name]?.trim()),
    },
    modelPrices: read.MODEL_PRICES,
    leaseMs: read.LEASE_SECONDS,
    drainMs: read.DRAIN_SECONDS,
    crashBudget: read.CRASH_BUDGET,
    runTimeoutMs:
      read.RUN_TIMEOUT_SECONDS === 0
        ? LONGEST_TIMER_MS
        : Math.min(read.RUN_TIMEOUT_SECONDS, LONGEST_TIMER_MS),
    recursionLimit: read.RECURSION_LIMIT,
    checkpointsKept: read.CHECKPOINTS_KEPT,
    retention: toRetention(read),
    cache: read.ENABLE_CACHE ? { ttlMs: read.CACHE_TTL, redis: cacheRedis(read) ?? redis.redis } : undefined,
    exitOnStdinClose: read.EXIT_ON_STDIN_CLOSE,
    logLevel: read.LOG_LEVEL,
    tracing: toTracing(read),
    langsmith: () =>
      ['LANGSMITH_TRACING', 'LANGSMITH_TRACING_V2', 'LANGCHAIN_TRACING', 'LANGCHAIN_TRACING_V2'].some(
        (name) => env[name] === 'true',
      ),
  };
}

function cacheRedis(read: z.infer<typeof schema>): RedisTarget | undefined {
  if (read.CACHE_REDIS_URL === undefined) return undefined;
  return {
    url: read.CACHE_REDIS_URL,
    password: read.CACHE_REDIS_PASSWORD,
    sentinelPassword: read.CACHE_REDIS_SENTINEL_PASSWORD,
  };
}

/** Sets the variables of a project's own file. One that is set already stays, as with every such file. */
export function applyEnv(variables: Record<string, string>): void {
  for (const [name, value] of Object.entries(variables)) process.env[name] ??= value;
}
