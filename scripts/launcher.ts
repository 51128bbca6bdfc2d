import { type AppExit, type AppProcess, startApp } from './app-process.ts';
import { httpUrl, nextFreePort, portInUse } from './ports.ts';
import { type Say, UserError } from './say.ts';

interface Command {
  file: string;
  args: string[];
}

/** What the launcher needs to know of a Redis, its own or somebody else's. */
export interface RedisHandle {
  url: string;
  /** Settles when a private one ends. */
  exited: Promise<string>;
  outlive(pid: number): void;
  stop(): Promise<void>;
}

export interface LaunchOptions {
  gateway: Command;
  worker: Command;
  workers: number;
  host: string;
  port: number;
  workerPort: number;
  cwd: string;
  env: NodeJS.ProcessEnv;
  logDir: string;
  openRedis: (signal: AbortSignal) => Promise<RedisHandle>;
  say: Say;
  complain: Say;
  /** Said once, when all are ready. */
  banner: (url: string) => string;
  /** The first request to stop, and the one to stop at once. */
  stop: AbortSignal;
  force: AbortSignal;
  readyMs?: number;
  gatewayStopMs?: number;
  workerStopMs?: number;
}

/** Runs Redis, workers and a gateway until it is told to stop or one of them dies. Resolves to the exit code. */
export async function launch(options: LaunchOptions): Promise<number> {
  const { say, complain, stop, host } = options;
  const running: Running = { redis: undefined, gateway: undefined, workers: [] };
  let code = 0;
  try {
    const port = await choosePort(options);
    running.redis = await options.openRedis(stop);
    await startApps(options, running, running.redis, port);
    const stopped = new Promise<'stopped'>((settle) => {
      stop.addEventListener('abort', () => settle('stopped'));
      if (stop.aborted) settle('stopped');
    });
    const apps = all(running);
    const death = Promise.race([...apps.map((app) => app.exited), redisDeath(running.redis)]).then((exit) => {
      throw exit instanceof Error ? exit : new UserError(describeDeath(exit));
    });
    const ready = Promise.all(apps.map((app) => readyOrWords(app, options.readyMs ?? 60_000)));
    if ((await Promise.race([stopped, death, ready])) !== 'stopped') {
      say(options.banner(httpUrl(host, port)));
      await Promise.race([stopped, death]);
    }
  } catch (error) {
    if (!stop.aborted) {
      code = 1;
      complain(error instanceof UserError ? error.message : `${(error as Error).stack ?? error}`);
    }
  }
  const orderly = await stopAll(options, running);
  return code === 0 && !orderly ? 1 : code;
}

interface Running {
  redis: RedisHandle | undefined;
  gateway: AppProcess | undefined;
  workers: AppProcess[];
}

function all({ gateway, workers }: Running): AppProcess[] {
  return gateway ? [gateway, ...workers] : workers;
}

async function choosePort({ host, port }: LaunchOptions): Promise<number> {
  if (port === 0) return nextFreePort(host, 0, new Set());
  if (await portInUse(host, port)) {
    throw new UserError(
      `Port ${port} on ${host} is already in use. Choose another with PORT, for example: ` +
        `PORT=${port + 1} npx -y pnpm@12 start`,
    );
  }
  return port;
}

async function startApps(
  o: LaunchOptions,
  running: Running,
  redis: RedisHandle,
  port: number,
): Promise<void> {
  const { host, cwd, logDir } = o;
  const env = { ...o.env, HOST: host, REDIS_URL: redis.url };
  const taken = new Set([port]);
  let from = o.workerPort;
  for (let n = 1; n <= o.workers; n++) {
    const workerPort = await nextFreePort(host, from, taken);
    taken.add(workerPort);
    if (from !== 0) from = workerPort + 1;
    const worker = startApp({
      ...o.worker,
      cwd,
      logDir,
      name: `worker-${n}`,
      env: { ...env, WORKER_PORT: `${workerPort}` },
      readyUrl: `${httpUrl(host, workerPort)}/readyz`,
    });
    running.workers.push(worker);
    if (worker.pid !== undefined) redis.outlive(worker.pid);
  }
  running.gateway = startApp({
    ...o.gateway,
    cwd,
    logDir,
    name: 'gateway',
    env: { ...env, PORT: `${port}` },
    readyUrl: `${httpUrl(host, port)}/readyz`,
  });
  if (running.gateway.pid !== undefined) redis.outlive(running.gateway.pid);
}

async function readyOrWords(app: AppProcess, limitMs: number): Promise<void> {
  try {
    await app.ready(limitMs);
  } catch (error) {
    throw new UserError(`${(error as Error).message}.\n${quoteLog(app)}`);
  }
}

function redisDeath(redis: RedisHandle): Promise<UserError> {
  return redis.exited.then((words) => new UserError(`Redis ended. Its last words:\n${words}`));
}

function describeDeath({ app, code, signal, error }: AppExit): string {
  const how = error ?? (signal ? `was ended by ${signal}` : `ended with code ${code}`);
  return `${app.name} ${how}.\n${quoteLog(app)}`;
}

function quoteLog(app: AppProcess): string {
  const words = app.lastWords();
  return words === '' ? `${app.logFile} is empty.` : `The end of ${app.logFile}:\n${words}`;
}

/** The gateway first, so that nothing new comes in; then the workers, which hand back; Redis when nobody needs it. */
async function stopAll(options: LaunchOptions, { redis, gateway, workers }: Running): Promise<boolean> {
  const { say, complain, force, gatewayStopMs = 30_000, workerStopMs = 60_000 } = options;
  let orderly = true;
  const end = async (app: AppProcess, limitMs: number) => {
    if (await app.stop(limitMs, force)) return;
    orderly = false;
    complain(`${app.name} did not stop in order. Its log: ${app.logFile}`);
  };
  if (gateway) {
    say('Stopping the gateway ...');
    await end(gateway, gatewayStopMs);
  }
  if (workers.length > 0) {
    say(`Stopping ${workers.length === 1 ? 'the worker' : `${workers.length} workers`} ...`);
    await Promise.all(workers.map((worker) => end(worker, workerStopMs)));
  }
  if (redis) {
    await redis.stop();
    say('Stopped.');
  }
  return orderly;
}
