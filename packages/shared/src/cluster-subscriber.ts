import { Redis, type RedisOptions } from 'ioredis';
import type { RedisHost } from './redis-url.ts';

/**
 * A connection for pub/sub to any one node of a cluster, since all of them pass on what is published. When it is lost,
 * the next one goes to another node.
 *
 * ioredis's Cluster changes its subscriber's node without a word, and who listens could not know that it has missed
 * something; a plain connection says `ready` again.
 */
export function clusterSubscriber(seeds: RedisHost[], options: RedisOptions): Redis {
  const { retryStrategy } = options;
  let nodes = seeds;
  let turn = 0;
  const subscriber = new Redis({
    ...options,
    ...seeds[0],
    retryStrategy: (attempt) => {
      turn += 1;
      // Read by ioredis at each connect.
      Object.assign(subscriber.options, nodes[turn % nodes.length]);
      return retryStrategy?.(attempt);
    },
  });
  subscriber.on('ready', () => {
    nodesOf(subscriber).then(
      (found) => {
        // The seeds stay: a name may stand for nodes that have not been there yet.
        nodes = [...found, ...seeds];
      },
      () => undefined,
    );
  });
  return subscriber;
}

/** Asks on a connection of its own, since a subscriber may only subscribe. */
async function nodesOf(subscriber: Redis): Promise<RedisHost[]> {
  const asking = subscriber.duplicate({ retryStrategy: () => null, maxRetriesPerRequest: 0 });
  asking.on('error', () => undefined);
  try {
    const ranges = await asking.cluster('SLOTS');
    const found = ranges.flatMap(([, , ...nodes]) => nodes.map(([host, port]) => ({ host, port })));
    // A node that does not know its own address leaves it out.
    return found.filter(({ host }) => host);
  } finally {
    asking.disconnect();
  }
}
