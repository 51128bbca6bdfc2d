import { setTimeout as pause } from 'node:timers/promises';
import { lastingPort, portInUse } from './ports.ts';
import { askRedis } from './redis-ping.ts';

const SLOTS = 16_384;
/** A node speaks with the others at its port plus this. */
const BUS_OFFSET = 10_000;

/** Room for a node of a cluster: a free port whose bus port is free too. */
export async function freeClusterPort(): Promise<number> {
  for (;;) {
    const port = await lastingPort();
    if (!(await portInUse('127.0.0.1', port + BUS_OFFSET))) return port;
  }
}

/**
 * Makes one cluster of empty masters on this machine, each with its share of the slots. Resolves when all of them know
 * who has what.
 *
 * @param urls of servers on 127.0.0.1 with `cluster-enabled`
 */
export async function formCluster(urls: string[], signal?: AbortSignal): Promise<void> {
  const share = Math.ceil(SLOTS / urls.length);
  await Promise.all(
    urls.map((url, i) => {
      const count = Math.min(share, SLOTS - i * share);
      const slots = Array.from({ length: count }, (_, n) => `${i * share + n}`);
      return tell(url, ['CLUSTER', 'ADDSLOTS', ...slots]);
    }),
  );
  const [first = '', ...others] = urls;
  for (const url of others) await tell(first, ['CLUSTER', 'MEET', '127.0.0.1', new URL(url).port]);
  await Promise.all(urls.map((url) => untilWhole(url, signal)));
}

/** A node serves, if only by naming another, when it knows an owner for every slot. */
async function untilWhole(url: string, signal: AbortSignal | undefined): Promise<void> {
  for (;;) {
    signal?.throwIfAborted();
    const refusal = await tell(url, ['EXISTS', 'anything']).then(
      () => '',
      (error: Error) => error.message,
    );
    if (refusal === '' || refusal.startsWith('MOVED')) return;
    if (!refusal.startsWith('CLUSTERDOWN')) throw new Error(`no cluster could be made: ${refusal}`);
    await pause(50);
  }
}

function tell(url: string, command: string[]): Promise<string> {
  return askRedis(url, command, { timeoutMs: 10_000 });
}
