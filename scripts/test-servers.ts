import { randomBytes } from 'node:crypto';
import { formCluster } from './form-cluster.ts';
import { type PrivateRedis, type RedisOptions, startRedis } from './private-redis.ts';
import { UserError } from './say.ts';

/** The servers that one run of the tests is on. */
export interface TestServers {
  /** What tells the tests where they are. */
  env: Record<string, string>;
  /** If this process is killed, that one (the leader of its own group) is stopped before the servers. */
  takeAlong(pid: number): void;
  stop(): Promise<void>;
}

type Options = Pick<RedisOptions, 'log' | 'signal' | 'clusterPassword'>;

const topologies: Record<string, (options: Options) => Promise<TestServers>> = { one, two, cluster };

/**
 * Takes `--on NAME` out of the arguments: what Redis the tests are to run on. `one` server, unless told; `two`, the
 * second for checkpoints; or a `cluster` of three masters.
 */
export function readTopology(args: string[]): {
  args: string[];
  open: (options: Options) => Promise<TestServers>;
} {
  const at = args.indexOf('--on');
  const name = at < 0 ? 'one' : (args[at + 1] ?? '');
  const open = topologies[name];
  if (!open) {
    throw new UserError(`--on must be ${Object.keys(topologies).join(', ')}, not ${JSON.stringify(name)}`);
  }
  return { args: at < 0 ? args : [...args.slice(0, at), ...args.slice(at + 2)], open };
}

async function one(options: Options): Promise<TestServers> {
  const [server] = await start([options]);
  return together([server], { TEST_REDIS_URL: server.url });
}

async function two(options: Options): Promise<TestServers> {
  const [runs, checkpoints] = await start([options, options]);
  return together([runs, checkpoints], {
    TEST_REDIS_URL: runs.url,
    TEST_CHECKPOINT_REDIS_URL: checkpoints.url,
    TEST_ONE_REDIS_URL: runs.url,
  });
}

async function cluster(options: Options): Promise<TestServers> {
  const clusterPassword = randomBytes(18).toString('base64url');
  const node = { ...options, clusterPassword };
  const [single, ...nodes] = await start([options, node, node, node]);
  const hosts = nodes.map(({ url }) => new URL(url).host);
  const servers = together([single, ...nodes], {
    TEST_REDIS_URL: `redis+cluster://:${clusterPassword}@${hosts.join()}`,
    TEST_ONE_REDIS_URL: single.url,
  });
  try {
    await formCluster(
      nodes.map(({ url }) => url),
      options.signal,
    );
  } catch (error) {
    await servers.stop();
    throw error;
  }
  return servers;
}

/** Starts all of them, or none. */
async function start<T extends Options[]>(each: [...T]): Promise<{ [K in keyof T]: PrivateRedis }> {
  const starts = await Promise.allSettled(
    each.map((options) => startRedis({ ...options, ephemeral: true, graceSeconds: 5 })),
  );
  const started = starts.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = starts.find((one) => one.status === 'rejected');
  if (failed) {
    await Promise.all(started.map((server) => server.stop()));
    throw failed.reason;
  }
  return started as { [K in keyof T]: PrivateRedis };
}

function together(servers: PrivateRedis[], env: Record<string, string>): TestServers {
  return {
    env,
    takeAlong: (pid) => {
      for (const server of servers) server.takeAlong(pid);
    },
    stop: async () => {
      await Promise.all(servers.map((server) => server.stop()));
    },
  };
}
