import { Client } from '@langchain/langgraph-sdk';
import { EventHub } from '@millrace/shared/event-hub';
import { EventReader } from '@millrace/shared/event-reader';
import { createLogger } from '@millrace/shared/logger';
import { partitionOfThread } from '@millrace/shared/partition';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readConfig } from '../../apps/gateway/src/config.ts';
import { type Gateway, startGateway } from '../../apps/gateway/src/gateway.ts';
import { workerConfig } from '../../apps/worker/src/config.ts';
import { type RunningWorker, startWorker } from '../../apps/worker/src/worker.ts';
import { RedisProcess } from '../faults/redis-process.ts';
import { generations } from '../mcp-client.ts';
import { StoreCost } from './store-cost.ts';

const logger = createLogger('test', 'silent');
const MIB = 1024 * 1024;

let server: RedisProcess;
let redis: Redis;

beforeEach(async () => {
  server = await RedisProcess.start();
  redis = new Redis(server.url);
});
afterEach(async () => {
  redis.disconnect();
  await server.remove();
});

it('a run’s events are capped by their bytes; a reader is told what it cannot have', async () => {
  const { store, keys, accept, claim } = bound(new StoreCost(redis));
  const runId = await accept('t');
  const lease = await claim(runId);
  const batch = Array.from({ length: 100 }, () => ({ name: 'custom', data: 'x'.repeat(1000) }));
  const batches = 250;
  for (let i = 0; i < batches; i++) await store.emit(runId, lease, 1 + i * 100, batch);
  await store.finish(runId, lease, { status: 'succeeded' });
  const stream = keys.events(keys.root(partitionOfThread('t')), runId);
  expect(await redis.memory('USAGE', stream, 'SAMPLES', 0)).toBeLessThan(24 * MIB);

  const hub = new EventHub(new Redis(server.url), redis, keys, logger);
  const seen: { seq: number; name: string }[] = [];
  const reader = new EventReader(redis, keys, hub);
  for await (const { seq, name } of reader.follow(runId)) seen.push({ seq, name });
  hub.close();
  const last = batches * 100 + 1;
  expect(seen[0]).toEqual({ seq: 0, name: 'gap' });
  expect(seen.at(-1)).toEqual({ seq: last, name: 'end' });
  // Nothing is missing from there on, and it is most of what may be kept.
  expect(seen.slice(1).map(({ seq }) => seq)).toEqual(
    Array.from({ length: seen.length - 1 }, (_, i) => last - seen.length + 2 + i),
  );
  expect(seen.length * 1000).toBeGreaterThan(12 * MIB);
});

/** Methods that can be taken off their object. */
function bound(cost: StoreCost) {
  return { store: cost.store, keys: cost.keys, accept: cost.accept.bind(cost), claim: cost.claim.bind(cost) };
}

describe('a message as large as is taken', () => {
  let gateway: Gateway;
  let worker: RunningWorker;

  beforeEach(async () => {
    gateway = await startGateway(readConfig({ REDIS_URL: server.url, PORT: '0' }), logger);
    worker = await startWorker(workerConfig({ REDIS_URL: server.url, WORKER_PORT: '0' }), logger);
  });
  afterEach(async () => {
    await gateway.stop();
    await worker.stop();
  });

  /** A body of exactly so many bytes, around a text. */
  const bodyOf = (bytes: number, wrap: (text: string) => unknown): string => {
    const around = JSON.stringify(wrap('')).length;
    return JSON.stringify(wrap('x'.repeat(bytes - around)));
  };
  const faces: [string, string, Record<string, string>, (text: string) => unknown][] = [
    ['/message', '/message', {}, (query) => ({ query })],
    [
      'MCP',
      '/mcp',
      { Accept: 'application/json, text/event-stream' },
      (message) => ({
        jsonrpc: '2.0',
        id: 1,
        method: 'tools/call',
        params: { name: 'agent', arguments: { message } },
      }),
    ],
    [
      'the Agent Server',
      '/runs/wait',
      {},
      (content) => ({ assistant_id: 'agent', input: { messages: [{ role: 'user', content }] } }),
    ],
  ];

  it.each(faces)(
    'is answered by %s, and one byte more refused with the limit',
    async (_, path, headers, wrap) => {
      const post = (body: string | ReadableStream) =>
        fetch(`${gateway.url}${path}`, {
          method: 'POST',
          headers: { 'Content-Type': 'application/json', ...headers },
          body,
          ...(typeof body !== 'string' && { duplex: 'half' }),
        });
      const taken = await post(bodyOf(MIB, wrap));
      expect(taken.status).toBe(200);
      const text = await taken.text();
      expect(text).not.toContain('__error__');
      expect(text).not.toContain('"isError":true');

      const tooMuch = bodyOf(MIB + 1, wrap);
      for (const body of [tooMuch, new Blob([tooMuch]).stream()]) {
        const refused = await post(body);
        expect(refused.status).toBe(413);
        expect(await refused.json()).toMatchObject({
          code: 'body_too_large',
          detail: 'The body is larger than 1048576 bytes; send less, or raise MAX_BODY_BYTES',
        });
      }
    },
  );

  it('is told to clients of the libraries, too', async () => {
    const content = 'x'.repeat(MIB);
    const client = new Client({ apiUrl: gateway.url, callerOptions: { maxRetries: 0 } });
    await expect(
      client.runs.wait(null, 'agent', { input: { messages: [{ role: 'user', content }] } }),
    ).rejects.toThrow('MAX_BODY_BYTES');
    for (const { connect } of generations) {
      const mcp = await connect((_, init) => fetch(`${gateway.url}/mcp`, init), {});
      await expect(mcp.call('agent', { message: content })).rejects.toThrow('MAX_BODY_BYTES');
      await mcp.close();
    }
  });
});
