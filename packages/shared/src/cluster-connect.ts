import type { Cluster, Redis } from 'ioredis';

/**
 * Makes a client of a cluster, and what is duplicated from it (as the queue does), come to an end when it is closed, and
 * `connect` resolve whenever it becomes ready.
 *
 * The queue closes a connection that stays silent for too long, waits for its end, and opens it again. With ioredis it would wait
 * for ever, and take no more jobs: while no node is in reach, a client that is closed never ends, and the promise of an
 * attempt that finds the cluster down is forgotten, though the client tries on.
 */
export function reopenable(cluster: Cluster): Cluster {
  cluster.on('+node', endWhenClosed);
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
  cluster.duplicate = (...args) => reopenable(duplicate(...args));
  return cluster;
}

/** Closing takes away the timer of a node that is about to try again, and it has no stream whose end would be heard of. */
function endWhenClosed(node: Redis): void {
  const disconnect = node.disconnect.bind(node);
  node.disconnect = (reconnect = false) => {
    const isIdle = node.status === 'reconnecting';
    disconnect(reconnect);
    if (!isIdle || reconnect) return;
    node.status = 'end';
    // biome-ignore lint/complexity/useLiteralKeys: private, and there is no other way to it
    node['flushQueue'](new Error('Connection is closed.'));
    process.nextTick(() => node.emit('end'));
  };
}
