import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { findServers } from '../../scripts/find-redis.ts';
import { redisCacheDir } from '../../scripts/paths.ts';
import { lastingPort } from '../../scripts/ports.ts';

/** A Redis of a test's own, with an append-only file, that can be killed, paused and brought back on its port. */
export class RedisProcess {
  readonly port: number;
  readonly url: string;
  readonly #dir: string;
  readonly #extra: string[];
  #child: ChildProcess | undefined;

  private constructor(port: number, dir: string, extra: string[]) {
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
    this.#dir = dir;
    this.#extra = extra;
  }

  /** @param extra lines of configuration, as `maxmemory 20mb`, @param port default: any free one */
  static async start(extra: string[] = [], port?: number): Promise<RedisProcess> {
    const dir = await mkdtemp(join(tmpdir(), 'millrace-redis-'));
    const redis = new RedisProcess(port ?? (await lastingPort()), dir, extra);
    await redis.up();
    return redis;
  }

  /**
   * Brings the server (back) up, with what its append-only file holds, and waits until it answers.
   *
   * @param extra lines of configuration for this time
   */
  async up(extra: string[] = []): Promise<void> {
    const log = () => undefined;
    for await (const program of findServers({ env: process.env, cacheDir: redisCacheDir, log })) {
      const { command, args, env } = program.invoke({ port: this.port, dataDir: this.#dir });
      const child = spawn(command, args, { env, stdio: ['pipe', 'ignore', 'ignore'] });
      child.stdin.end(
        [
          'bind 127.0.0.1',
          `port ${this.port}`,
          `dir ${this.#dir}`,
          'appendonly yes',
          'appendfsync everysec',
          'save ""',
          'maxmemory-policy noeviction',
          ...this.#extra,
          ...extra,
        ].join('\n'),
      );
      this.#child = child;
      break;
    }
    const probe = this.connect();
    const gone = this.#child && once(this.#child, 'exit').then(() => 'gone');
    const outcome = await Promise.race([probe.ping(), gone]);
    probe.disconnect();
    if (outcome === 'gone') throw new Error(`Redis did not start on port ${this.port}; is it taken?`);
  }

  /** A connection of the test's own, that outlives what happens to the server. */
  connect(): Redis {
    const often = { retryStrategy: () => 100, maxLoadingRetryTime: 100 };
    const redis = new Redis(this.url, { maxRetriesPerRequest: null, ...often });
    redis.on('error', () => undefined);
    return redis;
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  /** Gone for so long, then back. The wait is the fault itself. */
  async away(ms: number, how: 'paused' | 'killed'): Promise<void> {
    if (how === 'paused') this.pause();
    else await this.kill();
    await sleep(ms);
    if (how === 'paused') this.resume();
    else await this.up();
  }

  /** Copies the data as it is now. */
  async snapshot(): Promise<void> {
    // What it has acknowledged is in the file by then.
    this.pause();
    try {
      await rm(this.#snapshotDir, { recursive: true, force: true });
      await cp(this.#dir, this.#snapshotDir, { recursive: true });
    } finally {
      this.resume();
    }
  }

  /** Kills the server and brings it back with the data of the last snapshot. */
  async restore(): Promise<void> {
    await this.kill();
    await rm(this.#dir, { recursive: true });
    await cp(this.#snapshotDir, this.#dir, { recursive: true });
    await this.up();
  }

  async remove(): Promise<void> {
    await this.kill();
    for (const dir of [this.#dir, this.#snapshotDir]) await rm(dir, { recursive: true, force: true });
  }

  get #snapshotDir(): string {
    return `${this.#dir}-snapshot`;
  }
}
