// Starts everything on this machine: Redis (unless REDIS_URL names one), workers and a gateway.
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { banner } from './banner.ts';
import { buildApps, builtApp } from './build.ts';
import { launch, type RedisHandle } from './launcher.ts';
import { dataDir, logDir, projectRoot, redisUrlFile } from './paths.ts';
import { requireRedis, startRedis } from './private-redis.ts';
import { complain, say, survivesLostOutput, UserError } from './say.ts';
import { help, parseStart, type StartOptions } from './start-options.ts';

const stop = new AbortController();
const force = new AbortController();

async function main(): Promise<number> {
  survivesLostOutput();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => (stop.signal.aborted ? force : stop).abort());
  }
  const dotenv = join(projectRoot, '.env');
  if (existsSync(dotenv)) process.loadEnvFile(dotenv); // what is set already wins
  // pnpm changes to the root; a path that was typed elsewhere means the folder it was typed in.
  const own = process.env;
  const options = parseStart(process.argv.slice(2), own, own.INIT_CWD ?? process.cwd());
  if (options.help) {
    say(help);
    return 0;
  }
  const { redisUrl, config, model, workers } = options;
  const env = { ...own };
  if (config !== undefined) env.LANGGRAPH_CONFIG = config;
  // They belong to the Redis of REDIS_URL; a private one has its own.
  if (redisUrl === undefined) for (const name of ['REDIS_PASSWORD', 'REDIS_USERNAME']) delete env[name];
  let redis = redisUrl === undefined ? '' : 'the one in REDIS_URL';
  await buildApps();
  return launch({
    ...options,
    gateway: { file: process.execPath, args: builtApp('gateway') },
    worker: { file: process.execPath, args: builtApp('worker') },
    cwd: projectRoot,
    env,
    logDir,
    async openRedis(signal) {
      const handle = await openRedis(options, own, signal);
      redis ||= `private, data in ${short(dataDir)}, its URL in ${short(redisUrlFile)}`;
      return handle;
    },
    say,
    complain,
    banner: (url) => banner({ url, model, workers, redis, logDir: short(logDir), pid: process.pid }),
    stop: stop.signal,
    force: force.signal,
  });
}

async function openRedis(
  { redisUrl }: StartOptions,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<RedisHandle> {
  if (redisUrl !== undefined) {
    await requireRedis(redisUrl, env.REDIS_PASSWORD, env.REDIS_SENTINEL_PASSWORD);
    return { url: redisUrl, exited: new Promise(() => {}), outlive: () => {}, stop: async () => {} };
  }
  const redis = await startRedis({ dataDir, log: say, logFile: join(logDir, 'redis.log'), signal });
  // For redis-cli or one more worker. The URL holds the password, so the file is for its owner alone.
  writeFileSync(redisUrlFile, `${redis.url}\n`, { mode: 0o600 });
  return {
    ...redis,
    async stop() {
      rmSync(redisUrlFile, { force: true });
      await redis.stop();
    },
  };
}

function short(path: string): string {
  return relative(process.cwd(), path) || path;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.exitCode = 1;
  if (!(error instanceof UserError)) throw error;
  complain(error.message);
}
