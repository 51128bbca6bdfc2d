import { fileURLToPath } from 'node:url';
import { Keys } from '@millrace/shared/keys';
import type { Redis } from 'ioredis';
import { type Ledger, startLedger } from '../ledger.ts';
import { type AppProcess, startProcess } from '../processes.ts';
import { RedisProcess } from './redis-process.ts';
import { TcpProxy } from './tcp-proxy.ts';

const graphs = fileURLToPath(new URL('../graphs/langgraph.json', import.meta.url));

/** What a fleet keeps its runs in. */
export interface RedisServers {
  url: string;
  /** A connection of the test's own. */
  connect: () => Redis;
  remove: () => Promise<void>;
}

export interface FleetOptions {
  gateways?: number;
  workers?: number;
  /** Of every process. */
  env?: Record<string, string>;
  /** Lines of Redis configuration. */
  redis?: string[];
  /** Several servers in place of one of its own; removed with the fleet. */
  on?: RedisServers;
  /** Checkpoints have a Redis of their own. */
  checkpointRedis?: boolean;
}

/** Gateways, workers, a ledger and a Redis of their own, all real processes. */
export class Fleet {
  readonly #redis: RedisServers;
  readonly #checkpointRedis: RedisServers;
  /** Those that were killed or have left, for what they logged. */
  readonly gone: AppProcess[] = [];
  #ledger: Ledger;
  readonly gateways: AppProcess[] = [];
  readonly workers: AppProcess[] = [];
  readonly #env: Record<string, string>;
  readonly #proxies: TcpProxy[] = [];

  private constructor(
    redis: RedisServers,
    checkpointRedis: RedisServers,
    ledger: Ledger,
    env: Record<string, string>,
  ) {
    this.#redis = redis;
    this.#checkpointRedis = checkpointRedis;
    this.#ledger = ledger;
    this.#env = env;
  }

  static async start(options: FleetOptions = {}): Promise<Fleet> {
    const redis = options.on ?? (await RedisProcess.start(options.redis));
    const checkpointRedis = options.checkpointRedis ? await RedisProcess.start(options.redis) : redis;
    const fleet = new Fleet(redis, checkpointRedis, await startLedger(), {
      REDIS_URL: redis.url,
      ...(options.checkpointRedis && { CHECKPOINT_REDIS_URL: checkpointRedis.url }),
      LANGGRAPH_CONFIG: graphs,
      LEASE_SECONDS: '2',
      DRAIN_SECONDS: '5',
      WORKER_CONCURRENCY: '8',
      ...options.env,
    });
    const started = await Promise.allSettled([
      ...Array.from({ length: options.workers ?? 2 }, () => fleet.startWorker()),
      ...Array.from({ length: options.gateways ?? 2 }, () => fleet.startGateway()),
    ]);
    const failed = started.find((one) => one.status === 'rejected');
    if (failed) {
      // Nobody else could: the caller has no fleet.
      await fleet.stop();
      throw failed.reason;
    }
    return fleet;
  }

  /** The one server, to be killed or paused. */
  get redis(): RedisProcess {
    return asProcess(this.#redis);
  }

  /** Where checkpoints are: the same, unless they have one of their own. */
  get checkpointRedis(): RedisProcess {
    return asProcess(this.#checkpointRedis);
  }

  get ledger(): Ledger {
    return this.#ledger;
  }

  /** From now on orders name a ledger with nothing in it. For when no run is at work. */
  async turnOver(): Promise<void> {
    const old = this.#ledger;
    this.#ledger = await startLedger();
    await old.close();
  }

  async startWorker(env: Record<string, string> = {}): Promise<AppProcess> {
    const worker = await startProcess('worker', { ...this.#env, ...env });
    this.workers.push(worker);
    return worker;
  }

  async startGateway(env: Record<string, string> = {}): Promise<AppProcess> {
    const gateway = await startProcess('gateway', { ...this.#env, ...env });
    this.gateways.push(gateway);
    return gateway;
  }

  /** A way to Redis of its own, for a process started with `REDIS_URL: proxy.url`. */
  async proxy(): Promise<TcpProxy> {
    const proxy = await TcpProxy.start(this.redis.url);
    this.#proxies.push(proxy);
    return proxy;
  }

  /** Kills one for good. */
  async kill(app: AppProcess): Promise<void> {
    this.#forget(app);
    await app.end('SIGKILL');
  }

  /** Tells one to leave. Resolves to its exit code. */
  leave(app: AppProcess): Promise<number | null> {
    this.#forget(app);
    return app.end('SIGTERM');
  }

  /** Before it is gone, so that nobody is sent to it. */
  #forget(app: AppProcess): void {
    for (const group of [this.gateways, this.workers]) {
      const at = group.indexOf(app);
      if (at >= 0) group.splice(at, 1);
    }
    this.gone.push(app);
  }

  /** A connection of the test's own. */
  connect(): Redis {
    return this.#redis.connect();
  }

  /** One to where checkpoints are. */
  connectToCheckpoints(): Redis {
    return this.#checkpointRedis.connect();
  }

  get keys(): Keys {
    return new Keys();
  }

  /** Stops everything in order. Resolves to the exit codes of those that were still there. */
  async stop(): Promise<(number | null)[]> {
    await this.#ledger.close();
    const codes = await Promise.all([...this.gateways, ...this.workers].map((app) => app.end('SIGTERM')));
    await Promise.all(this.#proxies.map((proxy) => proxy.close()));
    await Promise.all([...new Set([this.#redis, this.#checkpointRedis])].map((one) => one.remove()));
    return codes;
  }
}

function asProcess(servers: RedisServers): RedisProcess {
  if (!(servers instanceof RedisProcess)) throw new Error('this fleet has several servers');
  return servers;
}
