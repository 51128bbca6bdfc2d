import { PARTITIONS } from '@millrace/shared/partition';
import type { StoreClient } from './client.ts';

/** Does what gateways do on the side, for tests that have none. Returns how to stop. */
export function sweepUntil(client: StoreClient): () => Promise<void> {
  let stopped = false;
  let wake = () => {};
  const loop = (async () => {
    while (!stopped) {
      for (let partition = 0; partition < PARTITIONS && !stopped; partition++) {
        const { jobs } = await client.store.sweep(partition, { limit: 100, ringAfterMs: 500 });
        await client.doorbell.ring(jobs);
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
        setTimeout(resolve, 100);
      });
    }
  })();
  return () => {
    stopped = true;
    wake();
    return loop;
  };
}
