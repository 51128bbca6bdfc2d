import { Catalog } from '@millrace/shared/catalog';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { Client as ModernClient, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Client as OlderClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as OlderTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { expect } from 'vitest';
import {
  catalogEntry,
  startTestGateway,
  type TestGateway,
  TestWorker,
} from '../apps/gateway/src/mcp/test-gateway.ts';

/** A gateway, the worker that a test plays, and stock clients; all of it is closed together. */
export class ResourceScene {
  readonly test: TestRedis;
  readonly worker: TestWorker;
  readonly gateway: TestGateway;
  readonly closing: (() => Promise<unknown>)[] = [];

  private constructor(test: TestRedis, gateway: TestGateway) {
    this.test = test;
    this.gateway = gateway;
    this.worker = new TestWorker(test);
  }

  static async start(): Promise<ResourceScene> {
    const test = await testRedis();
    const scene = new ResourceScene(test, await startTestGateway(test, { waitMs: 0, progressMs: 0 }));
    await new Catalog(test.redis, test.keys).publish([
      catalogEntry('agent'),
      catalogEntry('sum', { conversational: false }),
    ]);
    return scene;
  }

  async close(): Promise<void> {
    await Promise.all(this.closing.splice(0).map((close) => close().catch(() => undefined)));
    await this.gateway.close();
    await this.worker.close();
    await this.test.close();
  }

  async modernClient(tenant = 'acme', url = this.gateway.url) {
    const client = new ModernClient({ name: 'test', version: '1' }, { versionNegotiation: { mode: 'auto' } });
    await client.connect(
      new StreamableHTTPClientTransport(url, { requestInit: { headers: { 'x-tenant': tenant } } }),
    );
    this.closing.push(() => client.close());
    return client;
  }

  async olderClient(tenant = 'acme') {
    const client = new OlderClient({ name: 'test', version: '1' });
    const headers = { 'x-tenant': tenant };
    const transport = new OlderTransport(this.gateway.url, { requestInit: { headers } });
    // The class is looser than the interface under exactOptionalPropertyTypes.
    await client.connect(transport as Parameters<typeof client.connect>[0]);
    this.closing.push(() => client.close());
    return client;
  }

  /** Starts a run and hands it to the worker that the test plays. */
  async started(client: ModernClient, message = 'Go', thread?: string) {
    await client.callTool({ name: 'agent', arguments: { message, ...(thread && { thread_id: thread }) } });
    return this.worker.next();
  }
}

type Reader = Pick<ModernClient, 'readResource'> | Pick<OlderClient, 'readResource'>;

export async function readJson(client: Reader, uri: string): Promise<Record<string, unknown>> {
  const { contents } = await client.readResource({ uri });
  const [only, ...more] = contents;
  expect(more).toEqual([]);
  expect(only).toMatchObject({ uri, mimeType: 'application/json' });
  return JSON.parse((only as { text: string }).text);
}

/** The end of a run that asks. */
export const asking = {
  status: 'interrupted',
  questions: [{ id: 'q1', kind: 'interrupt', node: 'ask', interruptId: 'i1', value: 'Really?' }],
} as const;
