import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type DataLock, lockDataDir } from './data-lock.ts';
import { findServers } from './find-redis.ts';
import { freeClusterPort } from './form-cluster.ts';
import { lastLines, openLog } from './log-file.ts';
import { redisCacheDir } from './paths.ts';
import { freePort } from './ports.ts';
import { pingAny, pingRedis } from './redis-ping.ts';
import type { Invocation, ServerProgram } from './redis-server-binary.ts';
import { runCommand } from './run-command.ts';
import { type Say, UserError } from './say.ts';
import { startWatchdog } from './watchdog.ts';

export interface RedisOptions {
  /** Where the data stays; without it, the server keeps nothing and its folder is removed afterwards. */
  dataDir?: string;
  ephemeral?: boolean;
  log: Say;
  /** What the server says; by default a file in its folder. */
  logFile?: string;
  /** Where a server that had to be fetched is kept. */
  cacheDir?: string;
  /** Looked at for PATH and DOCKER_HOST. */
  env?: NodeJS.ProcessEnv;
  signal?: AbortSignal | undefined;
  /** An empty node of a cluster, with this password. */
  clusterPassword?: string;
  /** How long the server may outlive a killed launcher while processes it must wait for are still closing. */
  graceSeconds?: number;
}

export interface PrivateRedis {
  url: string;
  pid: number;
  describe: string;
  /** Settles when the server ends, asked or not, with its last words. */
  exited: Promise<string>;
  /** If this process is killed, the server waits for that one. */
  outlive(pid: number): void;
  /** If this process is killed, that one (the leader of its own group) is stopped before the server. */
  takeAlong(pid: number): void;
  stop(): Promise<void>;
}

const stopLimitMs = 15_000;

/** Brings up a Redis for this project alone, on a free loopback port. */
export async function startRedis(options: RedisOptions): Promise<PrivateRedis> {
  if (options.dataDir === undefined && !options.ephemeral)
    throw new Error('dataDir or ephemeral is required');
  const { dataDir, log, env = process.env, signal, cacheDir = redisCacheDir } = options;
  const lock = dataDir === undefined ? undefined : await lockDataDir(dataDir);
  const scratchDir = dataDir === undefined ? await mkdtemp(join(tmpdir(), 'millrace-redis-')) : undefined;
  const dir = resolve(dataDir ?? scratchDir ?? '');
  const giveUp = async () => {
    lock?.release();
    if (scratchDir !== undefined) await rm(scratchDir, { recursive: true, force: true });
  };
  try {
    for await (const program of findServers({ env, cacheDir, log, signal })) {
      const server = await bringUp(program, { ...options, dir, lock, scratchDir });
      if (server !== undefined) return { ...server, stop: once(async () => server.stop().then(giveUp)) };
    }
    throw new Error('unreachable: the search ends with a server or an error');
  } catch (error) {
    await giveUp();
    throw error;
  }
}

interface Place extends RedisOptions {
  dir: string;
  lock: DataLock | undefined;
  scratchDir: string | undefined;
}

/** Starts one program; undefined, after saying why, when it does not come up. */
async function bringUp(program: ServerProgram, place: Place): Promise<PrivateRedis | undefined> {
  const { dir, lock, log, signal, scratchDir } = place;
  const logFile = place.logFile ?? join(dir, 'redis.log');
  const { clusterPassword } = place;
  // Somebody may take the free port before the server does.
  for (let attempt = 1; ; attempt++) {
    const port = clusterPassword === undefined ? await freePort() : await freeClusterPort();
    const password = clusterPassword ?? randomBytes(18).toString('base64url');
    const invocation = program.invoke({ port, dataDir: dir });
    if (clusterPassword !== undefined && invocation.port !== port) {
      log(`${program.describe} cannot be a node of a cluster: the others would not find it`);
      return undefined;
    }
    const child = spawnServer(invocation, logFile);
    const exited = new Promise<string>((settle) => {
      child.once('exit', () => settle(lastLines(logFile, 10)));
      child.once('error', (error) => settle(error.message));
    });
    const { pid } = child;
    if (pid === undefined) {
      log(`${program.describe} cannot be started: ${await exited}`);
      return undefined;
    }
    lock?.serverIs(pid);
    const watchdog = startWatchdog({
      serverPid: pid,
      graceSeconds: place.graceSeconds ?? 60,
      scratchDir,
      cleanup: invocation.cleanup,
    });
    child.stdin?.end(
      configuration(invocation, password, scratchDir === undefined, clusterPassword !== undefined),
    );
    const stop = once(async () => {
      await endServer(child, exited, invocation);
      await watchdog.dismiss();
    });
    const url = `redis://:${password}@127.0.0.1:${port}`;
    try {
      const failure = await untilReady(url, exited, scratchDir === undefined ? 120_000 : 30_000, signal);
      if (failure === undefined) {
        log(
          `Redis: ${program.describe}, 127.0.0.1:${port}${scratchDir === undefined ? `, data in ${dir}` : ''}`,
        );
        const { waitFor, end } = watchdog;
        return { url, pid, describe: program.describe, exited, outlive: waitFor, takeAlong: end, stop };
      }
      await stop();
      if (attempt < 5 && failure.includes('ddress already in use')) continue;
      log(`${program.describe} did not come up:\n${failure}`);
      return undefined;
    } catch (error) {
      await stop();
      throw error;
    }
  }
}

function spawnServer({ command, args, env }: Invocation, logFile: string): ChildProcess {
  const out = openLog(logFile);
  try {
    // In a group of its own: a terminal's Ctrl-C must not end Redis before those that need it.
    const child = spawn(command, args, { env, stdio: ['pipe', out, out], detached: true });
    child.stdin?.on('error', () => {});
    return child;
  } finally {
    closeSync(out);
  }
}

/**
 * Handed over on stdin: arguments are there for everybody to read. The password keeps the machine's other users out,
 * and proves that what answers at the port is this server.
 */
function configuration(
  { bind, port, dir }: Invocation,
  password: string,
  durable: boolean,
  clustered: boolean,
): string {
  return [
    `bind ${bind}`,
    `port ${port}`,
    `requirepass ${password}`,
    `dir ${JSON.stringify(dir)}`,
    `appendonly ${durable ? 'yes' : 'no'}`,
    'appendfsync everysec',
    'save ""',
    'maxmemory-policy noeviction',
    ...(clustered ? ['cluster-enabled yes', 'cluster-node-timeout 15000'] : []),
    '',
  ].join('\n');
}

async function untilReady(
  url: string,
  exited: Promise<string>,
  limitMs: number,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  let ended: string | undefined;
  void exited.then((words) => {
    ended = words || 'it ended without a word';
  });
  const deadline = Date.now() + limitMs;
  for (;;) {
    signal?.throwIfAborted();
    let reason: string;
    try {
      await pingRedis(url, { timeoutMs: 2000 });
      return undefined;
    } catch (error) {
      reason = (error as Error).message;
    }
    if (ended !== undefined) return ended;
    if (Date.now() > deadline) return `not ready within ${limitMs / 1000} s: ${reason}`;
    await Promise.race([pause(25), exited]);
  }
}

async function endServer(
  child: ChildProcess,
  exited: Promise<string>,
  { cleanup, env }: Invocation,
): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), stopLimitMs);
  await exited;
  clearTimeout(timer);
  const [command, ...args] = cleanup ?? [];
  if (command !== undefined) await runCommand(command, args, { timeoutMs: 10_000, env: env ?? process.env });
}

function once<T>(action: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= action();
    return result;
  };
}

/** The Redis somebody else runs: checked before anything is started on it. */
export async function requireRedis(
  url: string,
  password: string | undefined,
  sentinelPassword?: string,
): Promise<void> {
  try {
    await pingAny(url, { timeoutMs: 5000, password, sentinelPassword });
  } catch (error) {
    const reason = (error as Error).message;
    throw new UserError(`REDIS_URL cannot be used: ${reason}. Unset it to get a private Redis.`);
  }
}
