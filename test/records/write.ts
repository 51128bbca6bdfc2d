import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { RUN_RECORD_VERSION } from '@millrace/shared/contract/run';
import { createLogger } from '@millrace/shared/logger';
import { partitionOfRun } from '@millrace/shared/partition';
import { testRedis } from '@millrace/shared/test-redis';
import { workerConfig } from '../../apps/worker/src/config.ts';
import { startWorker } from '../../apps/worker/src/worker.ts';
import { StoreClient } from '../client.ts';
import { startLedger } from '../ledger.ts';
import { dump } from './dump.ts';

/**
 * Writes down what this release stores, for later ones to read: once, when the version of records goes up.
 * `TEST_REDIS_URL=… node --import tsx test/records/write.ts`
 */

const redis = await testRedis({ oneServer: true });
const client = new StoreClient(redis);
const ledger = await startLedger();
const worker = await startWorker(
  workerConfig({
    REDIS_URL: redis.url,
    REDIS_PREFIX: redis.keys.prefix,
    LANGGRAPH_CONFIG: fileURLToPath(new URL('../graphs/langgraph.json', import.meta.url)),
    WORKER_PORT: '0',
    DRAIN_SECONDS: '1',
  }),
  createLogger('worker', 'silent'),
);
const order = (text: string) => ({
  input: { text },
  streamModes: ['values' as const],
  config: { configurable: { ledger: ledger.url } },
});

const ended = await client.run('chain', order('ended'), { thread: 'ended' });
const asked = await client.run('ask', order('asked'), { thread: 'asked' });
ledger.hold('b');
ledger.hold('second');
const begun = await client.submit('chain', order('begun'), { thread: 'begun' });
const nested = await client.submit('nest', order('nested'), { thread: 'nested' });
await Promise.all([ledger.called('b'), ledger.called('second')]);
await worker.stop();
const waiting = await client.submit('chain', { input: { text: 'waiting' } }, { thread: 'begun' });
// Whoever goes on with these has no ledger at this address.
for (const { runId } of [begun, nested]) {
  const key = redis.keys.run(redis.keys.root(partitionOfRun(runId) ?? 0), runId);
  const { config: _, ...request } = JSON.parse((await redis.redis.hget(key, 'request')) ?? '{}');
  await redis.redis.hset(key, 'request', JSON.stringify(request));
}
const keys = await dump(redis.redis, redis.keys.prefix);
const runs = {
  ended: ended.id,
  asked: asked.id,
  begun: begun.runId,
  nested: nested.runId,
  waiting: waiting.runId,
};
const lines = keys.map((key) => `    ${JSON.stringify(key)}`).join(',\n');
await writeFile(
  new URL(`v${RUN_RECORD_VERSION}.json`, import.meta.url),
  `{\n  "runs": ${JSON.stringify(runs)},\n  "keys": [\n${lines}\n  ]\n}\n`,
);

await ledger.close();
await client.close();
await redis.close();
