import { fileURLToPath } from 'node:url';
import { Client } from '@langchain/langgraph-sdk';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { StoreClient } from './client.ts';
import { type Ledger, startLedger } from './ledger.ts';
import { type AppProcess, startProcess } from './processes.ts';

const graphs = fileURLToPath(new URL('graphs/langgraph.json', import.meta.url));

/** A gateway and workers as processes, with the test graphs, and what a test looks at them with. */
export interface TestApp {
  /** A stock client. */
  sdk: Client;
  client: StoreClient;
  ledger: Ledger;
  redis: TestRedis;
  /** Settings of a run that make its steps report to the ledger. */
  configured: { config: { configurable: { ledger: string } } };
  startWorker: (env?: Record<string, string>) => Promise<AppProcess>;
  close: () => Promise<void>;
}

export async function startApp(): Promise<TestApp> {
  const redis = await testRedis();
  const client = new StoreClient(redis);
  const ledger = await startLedger();
  const processes: AppProcess[] = [];
  const start = async (app: 'gateway' | 'worker', env: Record<string, string> = {}) => {
    const started = await startProcess(app, {
      ...redis.env,
      LANGGRAPH_CONFIG: graphs,
      LEASE_SECONDS: '2',
      ...env,
    });
    processes.push(started);
    return started;
  };
  const close = async () => {
    await Promise.all(processes.map((one) => one.end('SIGKILL')));
    await ledger.close();
    await client.close();
    await redis.close();
  };
  try {
    const gateway = await start('gateway');
    return {
      // A key from the environment would go to whatever server the tests start.
      sdk: new Client({ apiUrl: gateway.url, apiKey: null, callerOptions: { maxRetries: 0 } }),
      client,
      ledger,
      redis,
      configured: { config: { configurable: { ledger: ledger.url } } },
      startWorker: (env) => start('worker', env),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
