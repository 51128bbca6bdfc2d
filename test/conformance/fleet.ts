import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { startRedis } from '../../scripts/private-redis.ts';
import { type AppProcess, startProcess } from '../processes.ts';

const graphs = fileURLToPath(new URL('langgraph.json', import.meta.url));

/** A real gateway and real workers on a Redis of their own, with the graphs that the suite asks for. */
export interface Fleet {
  url: string;
  stop(): Promise<void>;
}

export async function startFleet(log: (line: string) => void, signal: AbortSignal): Promise<Fleet> {
  const redis = await startRedis({ ephemeral: true, graceSeconds: 5, log, signal });
  const env = {
    REDIS_URL: redis.url,
    REDIS_PREFIX: `conformance-${randomBytes(4).toString('hex')}`,
    LANGGRAPH_CONFIG: graphs,
    LOG_LEVEL: 'info',
  };
  const started: AppProcess[] = [];
  const start = async (app: 'gateway' | 'worker', more: Record<string, string>) => {
    const process = await startProcess(app, { ...env, ...more });
    started.push(process);
    return process;
  };
  const stop = async () => {
    await Promise.all(started.map((one) => one.end('SIGKILL')));
    await redis.stop();
  };
  // One run kills its worker; another has to find out, soon.
  const crashing = { WORKER_QUEUES: 'crashes', CRASH_BUDGET: '0', LEASE_SECONDS: '2' };
  const starts = await Promise.allSettled([
    start('gateway', { TASK_AFTER_SECONDS: '0.2' }),
    start('worker', { WORKER_QUEUES: 'default' }),
    start('worker', crashing),
    start('worker', crashing),
  ]);
  const failed = starts.find((one) => one.status === 'rejected');
  const [gateway] = starts;
  if (gateway.status === 'fulfilled' && !failed) return { url: `${gateway.value.url}/mcp`, stop };
  await stop();
  throw failed?.reason;
}
