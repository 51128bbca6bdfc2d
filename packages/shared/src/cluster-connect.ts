import type { Cluster } from 'ioredis';

/**
 * Makes `connect` of a client of a cluster, and of what is duplicated from it (as the queue does), resolve whenever the
 * client becomes ready.
 *
 * ioredis forgets the promise of an attempt that finds the cluster down, and tries on. The queue, which replaces a
 * connection that stays silent for too long, would wait for that promise for ever, and take no more jobs.
 */
export function resolveWhenReady(cluster: Cluster): Cluster {
  const connect = cluster.connect.bind(cluster);
  cluster.connect = () =>
    new Promise((resolve, reject) => {
      const ready = () => resolve();
      cluster.once('ready', ready);
      connect().catch((error) => {
        cluster.off('ready', ready);
        reject(error);
      });
    });
  const duplicate = cluster.duplicate.bind(cluster);
  cluster.duplicate = (...args) => resolveWhenReady(duplicate(...args));
  return cluster;
}
