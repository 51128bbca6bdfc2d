import { Cluster, type Redis } from 'ioredis';
import { formCluster, freeClusterPort } from '../../scripts/form-cluster.ts';
import { RedisProcess } from './redis-process.ts';

const LINES = ['cluster-enabled yes', 'cluster-node-timeout 2000'];

/** Three masters of a test's own, without replicas: one that is killed comes back with what it had. */
export class RedisCluster {
  readonly nodes: RedisProcess[];
  readonly url: string;

  private constructor(nodes: RedisProcess[]) {
    this.nodes = nodes;
    this.url = `redis+cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join()}`;
  }

  static async start(): Promise<RedisCluster> {
    const nodes: RedisProcess[] = [];
    try {
      for (let i = 0; i < 3; i++) {
        nodes.push(await RedisProcess.start(LINES, await freeClusterPort()));
      }
      await formCluster(nodes.map(({ url }) => url));
    } catch (error) {
      await Promise.all(nodes.map((node) => node.remove()));
      throw error;
    }
    return new RedisCluster(nodes);
  }

  /** Gives a master a replica, and waits until all know of it. */
  async addReplica(master: RedisProcess): Promise<void> {
    const replica = await RedisProcess.start(LINES, await freeClusterPort());
    this.nodes.push(replica);
    const connections = this.nodes.map((node) => node.connect());
    const [first, own] = [connections[this.nodes.indexOf(master)], connections.at(-1)];
    try {
      const id = (await first?.cluster('MYID')) ?? '';
      await own?.cluster('MEET', '127.0.0.1', master.port);
      while (!(await nodesOf(own)).includes(id));
      await own?.cluster('REPLICATE', id);
      for (const one of connections) while (!(await nodesOf(one)).includes(`slave ${id}`));
      while (!(await own?.info('replication'))?.includes('master_link_status:up'));
    } finally {
      for (const one of connections) one.disconnect();
    }
  }

  /** A connection of the test's own. */
  connect(): Cluster {
    return new Cluster(
      this.nodes.map(({ port }) => ({ host: '127.0.0.1', port })),
      { clusterNodeRetryStrategy: () => 100, redisOptions: { maxRetriesPerRequest: null } },
    );
  }

  async remove(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.remove()));
  }
}

/** The move of a slot from one master to the next, key by key, as `redis-cli --cluster reshard` does it. */
export class SlotMove {
  readonly #slot: number;
  readonly #source: Redis;
  readonly #target: Redis;
  readonly #others: Redis[];

  private constructor(slot: number, source: Redis, target: Redis, others: Redis[]) {
    this.#slot = slot;
    this.#source = source;
    this.#target = target;
    this.#others = others;
  }

  /** Begins the move of the slot of a key. From now on it is half here and half there, until `finish`. */
  static async begin(cluster: Cluster, key: string): Promise<SlotMove> {
    const slot = await cluster.cluster('KEYSLOT', key);
    const ranges = await cluster.cluster('SLOTS');
    const [, , [, port] = []] = ranges.find(([first, last]) => first <= slot && slot <= last) ?? [];
    const masters = cluster.nodes('master');
    const at = masters.findIndex((master) => master.options.port === port);
    const [source, target, ...others] = [...masters.slice(at), ...masters.slice(0, at)];
    if (at < 0 || !source || !target) throw new Error(`nobody has slot ${slot}`);
    const move = new SlotMove(slot, source, target, others);
    await target.cluster('SETSLOT', slot, 'IMPORTING', await idOf(source));
    await source.cluster('SETSLOT', slot, 'MIGRATING', await idOf(target));
    return move;
  }

  /** Moves some of the keys, or all. Resolves to how many were moved. */
  async keys(count = Number.POSITIVE_INFINITY): Promise<number> {
    const { host = '', port = 0 } = this.#target.options;
    for (let moved = 0; ; ) {
      const batch = await this.#source.cluster('GETKEYSINSLOT', this.#slot, Math.min(10, count - moved));
      if (batch.length > 0) await this.#source.migrate(host, port, '', 0, 5_000, 'KEYS', ...batch);
      moved += batch.length;
      if (batch.length === 0 || moved >= count) return moved;
    }
  }

  /** Moves what is left, and tells all nodes who has the slot now. */
  async finish(): Promise<void> {
    await this.keys();
    const id = await idOf(this.#target);
    for (const node of [this.#target, this.#source, ...this.#others]) {
      await node.cluster('SETSLOT', this.#slot, 'NODE', id);
    }
  }
}

async function nodesOf(node: Redis | undefined): Promise<string> {
  return String(await node?.cluster('NODES'));
}

function idOf(node: Redis): Promise<string> {
  return node.cluster('MYID');
}
