import { Catalog } from '@millrace/shared/catalog';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { catalogEntry, startTestGateway, type TestGateway } from './test-gateway.ts';
import { modern, rpc, send } from './test-rpc.ts';

let test: TestRedis;
let gateway: TestGateway;

beforeEach(async () => {
  test = await testRedis();
  gateway = await startTestGateway(test, { waitMs: 0 });
  const inputSchema = {
    type: 'object',
    properties: {
      region: { type: 'string', 'x-mcp-header': 'Region' },
      order: { type: 'object', properties: { number: { type: 'integer', 'x-mcp-header': 'Order' } } },
      list: { type: 'array', items: { type: 'string', 'x-mcp-header': 'Nowhere' } },
      odd: { type: 'string', 'x-mcp-header': 'no token' },
    },
  };
  await new Catalog(test.redis, test.keys).publish([
    catalogEntry('deploy', { conversational: false, inputSchema }),
  ]);
});
afterEach(async () => {
  await gateway.close();
  await test.close();
});

const deploy = (args: object, headers: Record<string, string> = {}) =>
  modern(gateway.url, 'tools/call', { name: 'deploy', arguments: args }, { headers });
const base64 = (text: string) => `=?base64?${Buffer.from(text).toString('base64')}?=`;

it.each<[object, Record<string, string>]>([
  [{}, {}],
  [{}, { 'mcp-param-region': 'eu' }],
  [{ region: null }, {}],
  [{ region: 'eu' }, { 'mcp-param-region': 'eu' }],
  [{ region: 'Österreich' }, { 'mcp-param-region': base64('Österreich') }],
  [{ region: '=?base64?ZXU=' }, { 'mcp-param-region': '=?base64?ZXU=' }],
  [{ order: { number: 42 } }, { 'mcp-param-order': '42.0' }],
  [{ list: ['a'], odd: 'b' }, {}],
])('takes %j with %j', async (args, headers) => {
  const { status, body } = await deploy(args, headers);
  expect({ status, error: body?.error }).toEqual({ status: 200, error: undefined });
});

it.each<[object, Record<string, string>]>([
  [{ region: 'eu' }, {}],
  [{ region: 'eu' }, { 'mcp-param-region': 'us' }],
  [{ region: 'eu' }, { 'mcp-param-region': '=?base64?ZXU?=' }],
  [{ region: 'eu' }, { 'mcp-param-region': '=?base64?Z!U=?=' }],
  [{ order: { number: 42 } }, { 'mcp-param-order': '43' }],
  [{ order: { number: 0 } }, { 'mcp-param-order': '' }],
])('refuses %j with %j', async (args, headers) => {
  const { status, body } = await deploy(args, headers);
  expect({ status, code: body?.error?.code }).toEqual({ status: 400, code: -32020 });
});

it('asks no older client for such headers', async () => {
  const called = await send(gateway.url, rpc('tools/call', { name: 'deploy', arguments: { region: 'eu' } }), {
    'mcp-protocol-version': '2025-11-25',
  });
  expect(called.body?.result).toMatchObject({ structuredContent: { status: 'queued' } });
});
