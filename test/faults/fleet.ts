import { fileURLToPath } from 'node:url';
import { Keys } from '@millrace/shared/keys';
import type { RedisConnection } from '@millrace/shared/redis';
import { type Ledger, startLedger } from '../ledger.ts';
import { type AppProcess, startProcess } from '../processes.ts';
import { RedisProcess } from './redis-process.ts';
import { TcpProxy } from './tcp-proxy.ts';

const graphs = fileURLToPath(new URL('../graphs/langgraph.json', import.meta.url));

/** What a fleet runs on: one server, or several. */
export interface FleetRedis {
  url: string;
  /** A connection of the test's own. */
  connect(): RedisConnection;
  remove(): Promise<void>;
}

export interface FleetOptions {
  gateways?: number;
  workers?: number;
  /** Of every process. */
  env?: Record<string, string>;
  /** Lines of Redis configuration. */
  redis?: string[];
  /** Checkpoints have a server of their own. */
  checkpointRedis?: boolean;
}

/** Gateways, workers, a ledger and a Redis of their own, all real processes. */
export class Fleet<R extends FleetRedis = RedisProcess> {
  readonly redis: R;
  /** Where checkpoints are: the same, unless they have one of their own. */
  readonly checkpointRedis: R | RedisProcess;
  /** Those that were killed or have left, for what they logged. */
  readonly gone: AppProcess[] = [];
  #ledger: Ledger;
  readonly gateways: AppProcess[] = [];
  readonly workers: AppProcess[] = [];
  readonly #env: Record<string, string>;
  readonly #proxies: TcpProxy[] = [];

  private constructor(
    redis: R,
    checkpointRedis: R | RedisProcess,
    ledger: Ledger,
    env: Record<string, string>,
  ) {
    this.redis = redis;
    this.checkpointRedis = checkpointRedis;
    this.#ledger = ledger;
    this.#env = env;
  }

  static async start(options: FleetOptions = {}): Promise<Fleet> {
    return Fleet.startOn(await RedisProcess.start(options.redis), options);
  }

  /** @param redis handed over: removed with the fleet */
  static async startOn<R extends FleetRedis>(redis: R, options: FleetOptions = {}): Promise<Fleet<R>> {
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

  /** @param args for node */
  async startGateway(env: Record<string, string> = {}, args: string[] = []): Promise<AppProcess> {
    const gateway = await startProcess('gateway', { ...this.#env, ...env }, args);
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
  connect(): RedisConnection {
    return this.redis.connect();
  }

  get keys(): Keys {
    return new Keys();
  }

  /** Stops everything in order. Resolves to the exit codes of those that were still there. */
  async stop(): Promise<(number | null)[]> {
    await this.#ledger.close();
    const codes = await Promise.all([...this.gateways, ...this.workers].map((app) => app.end('SIGTERM')));
    await Promise.all(this.#proxies.map((proxy) => proxy.close()));
    await Promise.all(
      [...new Set<FleetRedis>([this.redis, this.checkpointRedis])].map((one) => one.remove()),
    );
    return codes;
  }
}
