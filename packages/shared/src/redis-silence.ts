import type { Cluster, Redis } from 'ioredis';
import type { Logger } from './logger.ts';

const ASK_MS = 2_500;
/** Askings in a row that may stay without an answer. The queue's connection is blocked, and so silent, for five seconds at most. */
const UNANSWERED = 3;

/**
 * Replaces each connection of a client, and of what is duplicated from it (as the queue does), on which nothing has come for
 * ten seconds though it was asked.
 *
 * A machine that lost its power, or a router that forgot the connection, says no goodbye, and the kernel would go on
 * believing in it for a quarter of an hour. What was sent and not answered is sent again on the new one.
 */
export function replaceWhenSilent(redis: Redis, logger: Logger): Redis {
  let timer: NodeJS.Timeout | undefined;
  redis.on('connect', () => {
    let unanswered = 0;
    let heard = 0;
    clearInterval(timer);
    timer = setInterval(() => {
      const { bytesRead } = redis.stream;
      unanswered = bytesRead === heard ? unanswered + 1 : 0;
      heard = bytesRead;
      if (unanswered > UNANSWERED) {
        logger.warn('redis does not answer on an open connection; replacing it');
        clearInterval(timer);
        redis.disconnect(true);
      } else if (redis.status === 'ready') {
        // Until then the handshake asks.
        redis.ping().catch(() => undefined);
      }
    }, ASK_MS);
    timer.unref();
  });
  redis.on('close', () => clearInterval(timer));
  const duplicate = redis.duplicate.bind(redis);
  redis.duplicate = (override) => replaceWhenSilent(duplicate(override), logger);
  return redis;
}

/** As {@link replaceWhenSilent}, for each node of a cluster, and of what is duplicated from it. */
export function replaceSilentNodes(cluster: Cluster, logger: Logger): Cluster {
  cluster.on('+node', (node: Redis) => replaceWhenSilent(node, logger));
  const duplicate = cluster.duplicate.bind(cluster);
  cluster.duplicate = (...args) => replaceSilentNodes(duplicate(...args), logger);
  return cluster;
}
