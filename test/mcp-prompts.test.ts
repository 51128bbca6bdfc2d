import { fileURLToPath } from 'node:url';
import { createLogger } from '@millrace/shared/logger';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { Client as ModernClient, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Client as OlderClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as OlderTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../apps/gateway/src/mcp/test-gateway.ts';
import { workerConfig } from '../apps/worker/src/config.ts';
import { type RunningWorker, startWorker } from '../apps/worker/src/worker.ts';

const graphs = fileURLToPath(new URL('graphs/langgraph.json', import.meta.url));

let redis: TestRedis;
let worker: RunningWorker | undefined;
let gateway: TestGateway;
const closing: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  redis = await testRedis();
  gateway = await startTestGateway(redis);
});

afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
  await gateway.close();
  await worker?.stop();
  worker = undefined;
  await redis.close();
});

async function modernClient() {
  const client = new ModernClient({ name: 'test', version: '1' }, { versionNegotiation: { mode: 'auto' } });
  closing.push(() => client.close());
  await client.connect(new StreamableHTTPClientTransport(gateway.url));
  return client;
}

async function olderClient() {
  const client = new OlderClient({ name: 'test', version: '1' });
  closing.push(() => client.close());
  // The class is looser than the interface under exactOptionalPropertyTypes.
  await client.connect(new OlderTransport(gateway.url) as Transport);
  return client;
}

it.each([
  ['2026-07-28', modernClient],
  ['2025-11-25', olderClient],
])('a prompt of langgraph.json comes to a client of %s', async (_, connect) => {
  const env = { ...redis.env, LOG_LEVEL: 'silent', WORKER_PORT: '0', LANGGRAPH_CONFIG: graphs };
  worker = await startWorker(workerConfig(env), createLogger('test', 'silent'));
  const client = await connect();
  expect((await client.listPrompts()).prompts).toEqual([
    {
      name: 'chain.walk',
      title: 'Walk',
      description: 'Takes all three steps.',
      arguments: [
        { name: 'what', required: true },
        { name: 'more', required: false },
      ],
    },
  ]);
  const { messages } = await client.getPrompt({ name: 'chain.walk', arguments: { what: 'a stone' } });
  expect(messages).toEqual([
    { role: 'user', content: { type: 'text', text: 'Take a stone through the chain. ' } },
  ]);
  await expect(client.getPrompt({ name: 'chain.walk' })).rejects.toMatchObject({
    code: -32602,
    message: expect.stringContaining('what is missing'),
  });
});

it('is said not to be there yet when no worker has been', async () => {
  const client = await modernClient();
  expect((await client.listPrompts()).prompts).toEqual([]);
  await expect(client.getPrompt({ name: 'chain.walk' })).rejects.toMatchObject({
    code: -32603,
    data: { code: 'no_catalog' },
  });
});
