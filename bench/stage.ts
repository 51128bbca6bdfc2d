import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type AppProcess, startApp } from '../scripts/app-process.ts';
import { projectRoot } from '../scripts/paths.ts';
import { freePort, httpUrl } from '../scripts/ports.ts';
import { type PrivateRedis, startRedis } from '../scripts/private-redis.ts';
import { complain, say, UserError } from '../scripts/say.ts';

/** Runs at once, in the worker as in the Agent Server, whose own default it is. */
export const CONCURRENCY = 10;

const READY_MS = 60_000;
const STOP_MS = 40_000;
const here = fileURLToPath(new URL('.', import.meta.url));

export interface Server {
  url: string;
  pid: number;
  /** To a process that is gone, nothing is sent. */
  send: (signal: NodeJS.Signals) => void;
}

export interface StageOptions {
  /** Where CPU profiles of the gateway and the worker go. */
  profile?: string | undefined;
  signal: AbortSignal;
  /** Ends what does not stop in order. */
  force: AbortSignal;
}

/** Everything that is measured, each a process of its own, as it would be deployed. */
export class Stage {
  readonly redis: PrivateRedis;
  readonly #options: StageOptions;
  readonly #scratch: string;
  readonly #apps: AppProcess[] = [];
  #closing = false;

  private constructor(redis: PrivateRedis, scratch: string, options: StageOptions) {
    this.redis = redis;
    this.#scratch = scratch;
    this.#options = options;
  }

  /** With a Redis that writes its append-only file to a folder that is removed afterwards. */
  static async open(options: StageOptions): Promise<Stage> {
    const scratch = await mkdtemp(join(tmpdir(), 'millrace-bench-'));
    try {
      const dataDir = join(scratch, 'redis');
      const redis = await startRedis({ dataDir, log: say, signal: options.signal, graceSeconds: 10 });
      return new Stage(redis, scratch, options);
    } catch (error) {
      await rm(scratch, { recursive: true, force: true });
      throw error;
    }
  }

  /** The gateway and a worker, with their defaults but for {@link CONCURRENCY}. */
  async millrace(): Promise<{ gateway: Server; worker: Server }> {
    const env = { REDIS_URL: this.redis.url, LANGGRAPH_CONFIG: join(here, 'langgraph.json') };
    const app = (name: string) => [join(projectRoot, `apps/${name}/src/main.ts`)];
    const { profile } = this.#options;
    const flags = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${resolve(profile)}`];
    const [worker, gateway] = await Promise.all([
      this.#start('worker', '/readyz', (port) => ({
        args: [...flags, ...app('worker')],
        env: { ...env, WORKER_PORT: port, WORKER_CONCURRENCY: `${CONCURRENCY}` },
      })),
      this.#start('gateway', '/readyz', (port) => ({
        args: [...flags, ...app('gateway')],
        env: { ...env, PORT: port },
      })),
    ]);
    return { gateway, worker };
  }

  bareRoute(): Promise<Server> {
    return this.#start('bare-route', '/ok', (port) => ({ args: [join(here, 'bare-route.ts'), port] }));
  }

  agentServer(): Promise<Server> {
    return this.#start('agent-server', '/ok', (port) => ({
      args: [join(here, 'agent-server.ts'), port, join(here, 'graph.ts'), `${CONCURRENCY}`],
      env: { LANGSMITH_TRACING: 'false' },
    }));
  }

  async close(): Promise<void> {
    this.#closing = true;
    // The gateway was started last of those that need each other, and goes first.
    for (const app of this.#apps.reverse()) {
      if (!(await app.stop(STOP_MS, this.#options.force))) {
        complain(`${app.name} did not stop in order:\n${app.lastWords()}`);
      }
    }
    await this.redis.stop();
    await rm(this.#scratch, { recursive: true, force: true });
  }

  async #start(
    name: string,
    readyPath: string,
    how: (port: string) => { args: string[]; env?: NodeJS.ProcessEnv },
  ): Promise<Server> {
    const port = await freePort();
    const url = httpUrl('127.0.0.1', port);
    const { args, env } = how(`${port}`);
    // Of this terminal's environment only what finds programs: a key or a switch of it would make another benchmark.
    const { PATH, HOME, TMPDIR } = process.env;
    const app = startApp({
      name,
      file: process.execPath,
      args: ['--import', import.meta.resolve('tsx'), ...args],
      cwd: this.#scratch,
      env: { PATH, HOME, TMPDIR, NODE_ENV: 'production', ...env },
      readyUrl: `${url}${readyPath}`,
      logDir: this.#scratch,
    });
    this.#apps.push(app);
    const { pid } = app;
    if (pid === undefined) throw new UserError(`${name} cannot be started`);
    this.redis.takeAlong(pid);
    let gone = false;
    const ended = app.exited.then(() => {
      gone = true;
      // What was measured after that would be told as a connection that was refused.
      if (!this.#closing) complain(`${name} ended. Its last words:\n${app.lastWords()}`);
      throw new UserError(`${name} ended before its time`);
    });
    ended.catch(() => undefined);
    const stopped = new Promise<never>((_, reject) => {
      const { signal } = this.#options;
      const stop = () => reject(signal.reason);
      signal.addEventListener('abort', stop, { once: true });
      if (signal.aborted) stop();
    });
    await Promise.race([app.ready(READY_MS), ended, stopped]);
    const send = (signal: NodeJS.Signals) => {
      if (!gone) process.kill(pid, signal);
    };
    return { url, pid, send };
  }
}

/** Waits until the gateway counts no run as waiting or executing. */
export async function workedOff(gateway: Server, signal: AbortSignal): Promise<void> {
  for (;;) {
    const response = await fetch(`${gateway.url}/metrics`, { signal });
    const demand = /^millrace_queue_demand\{.*\} (\d+)$/m.exec(await response.text())?.[1];
    if (demand === '0') return;
    await pause(50, undefined, { signal });
  }
}
