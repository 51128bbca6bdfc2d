import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { findServers } from '../../scripts/find-redis.ts';
import { redisCacheDir } from '../../scripts/paths.ts';
import { freePort } from '../../scripts/ports.ts';
import { RedisProcess } from './redis-process.ts';

const NAME = 'watched';
const SENTINELS = 3;
/** As long as operators usually set, divided by ten. */
const DOWN_AFTER_MS = 1_000;
const PARTED_DOWN_AFTER_MS = 4_000;

/** A master, its replica, and Sentinels that put the one in the place of the other. */
export class Sentinels {
  readonly master: RedisProcess;
  readonly replica: RedisProcess;
  readonly url: string;
  readonly #watchers: Watcher[];

  private constructor(master: RedisProcess, replica: RedisProcess, watchers: Watcher[]) {
    this.master = master;
    this.replica = replica;
    this.#watchers = watchers;
    this.url = `redis+sentinel://${watchers.map(({ port }) => `127.0.0.1:${port}`).join()}/${NAME}`;
  }

  static async start(): Promise<Sentinels> {
    const master = await RedisProcess.start(['repl-diskless-sync-delay 0']);
    const replica = await RedisProcess.start([`replicaof 127.0.0.1 ${master.port}`]);
    const watchers = await Promise.all(Array.from({ length: SENTINELS }, () => Watcher.start(master.port)));
    const sentinels = new Sentinels(master, replica, watchers);
    await sentinels.#know();
    return sentinels;
  }

  /** A connection to whoever is the master. */
  connect(): Redis {
    const redis = new Redis({
      sentinels: this.#watchers.map(({ port }) => ({ host: '127.0.0.1', port })),
      name: NAME,
      maxRetriesPerRequest: null,
    });
    redis.on('error', () => undefined);
    return redis;
  }

  /** From now on the replica learns of nothing that the master is told, and says nothing of it. */
  async partReplica(): Promise<void> {
    const [master, replica] = [this.master.connect(), this.replica.connect()];
    const watchers = this.#watchers.map(({ port }) => new Redis(port));
    try {
      // Ten times this long a replica may have been without its master and still be chosen.
      await Promise.all(
        watchers.map((one) =>
          one.call('SENTINEL', 'SET', NAME, 'down-after-milliseconds', PARTED_DOWN_AFTER_MS),
        ),
      );
      // No other way than to be refused: a link that is cut is back at once.
      await replica.config('SET', 'masterauth', 'wrong');
      await master.client('KILL', 'TYPE', 'replica');
    } finally {
      for (const one of [master, replica, ...watchers]) one.disconnect();
    }
  }

  /** Kills the master. Resolves when the replica has taken its place. */
  async failOver(): Promise<void> {
    await this.master.kill();
    await until(this.replica.connect(), async (redis) => /role:master/.test(await redis.info('replication')));
  }

  /** The Sentinel that clients ask first hangs; the others can still decide. */
  hangFirst(): void {
    this.#watchers[0]?.pause();
  }

  async remove(): Promise<void> {
    await Promise.all(this.#watchers.map((one) => one.remove()));
    await Promise.all([this.master.remove(), this.replica.remove()]);
  }

  /** Until all have heard of each other and of the replica: before that nobody is elected. */
  async #know(): Promise<void> {
    const isComplete = (info: string) =>
      info.includes(`slaves=1,sentinels=${SENTINELS}`) && info.includes('status=ok');
    await until(this.replica.connect(), async (redis) =>
      /master_link_status:up/.test(await redis.info('replication')),
    );
    for (const { port } of this.#watchers) {
      await until(new Redis(port), async (redis) => isComplete(await redis.info('sentinel')));
    }
  }
}

/** Asks until it holds, and closes the connection. */
async function until(redis: Redis, holds: (redis: Redis) => Promise<boolean>): Promise<void> {
  // It may not be there yet.
  redis.on('error', () => undefined);
  try {
    while (!(await holds(redis))) await sleep(50);
  } finally {
    redis.disconnect();
  }
}

/** One Sentinel. */
class Watcher {
  readonly port: number;
  readonly #dir: string;
  readonly #child: ChildProcess;

  private constructor(port: number, dir: string, child: ChildProcess) {
    this.port = port;
    this.#dir = dir;
    this.#child = child;
  }

  static async start(masterPort: number): Promise<Watcher> {
    const dir = await mkdtemp(join(tmpdir(), 'millrace-sentinel-'));
    const port = await freePort();
    const file = join(dir, 'sentinel.conf');
    await writeFile(
      file,
      [
        'bind 127.0.0.1',
        `port ${port}`,
        `dir ${dir}`,
        `sentinel monitor ${NAME} 127.0.0.1 ${masterPort} 2`,
        `sentinel down-after-milliseconds ${NAME} ${DOWN_AFTER_MS}`,
        `sentinel failover-timeout ${NAME} 3000`,
      ].join('\n'),
    );
    const log = () => undefined;
    for await (const program of findServers({ env: process.env, cacheDir: redisCacheDir, log })) {
      const { command, env } = program.invoke({ port, dataDir: dir });
      // The same program; a Sentinel keeps its state in its configuration, which so has to be a file.
      const child = spawn(command, [file, '--sentinel'], { env, stdio: 'ignore' });
      return new Watcher(port, dir, child);
    }
    throw new Error('there is no Redis');
  }

  pause(): void {
    this.#child.kill('SIGSTOP');
  }

  async remove(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGKILL');
      await once(this.#child, 'exit');
    }
    await rm(this.#dir, { recursive: true, force: true });
  }
}
