import { once } from 'node:events';
import { Catalog } from '@millrace/shared/catalog';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { catalogEntry, startTestGateway, type TestGateway, TestWorker } from './test-gateway.ts';
import { envelope, modern as modernTo, rpc, send as sendTo } from './test-rpc.ts';

let test: TestRedis;
let gateway: TestGateway;

beforeEach(async () => {
  test = await testRedis();
  gateway = await startTestGateway(test, { waitMs: 0, maxBodyBytes: 10_000 });
});
afterEach(async () => {
  await gateway.close();
  await test.close();
});

const publish = (...graphs: string[]) =>
  new Catalog(test.redis, test.keys).publish(graphs.map((graph) => catalogEntry(graph)));

const send = (body: unknown, headers: Record<string, string | undefined> = {}, method = 'POST') =>
  sendTo(gateway.url, body, headers, { method });

const modern = (
  method: string,
  params: Record<string, unknown> = {},
  headers: Record<string, string | undefined> = {},
) => modernTo(gateway.url, method, params, { headers });

describe('revisions', () => {
  it.each(['2025-03-26', '2025-06-18', '2025-11-25'])('agrees on %s and keeps to it', async (revision) => {
    await publish('agent');
    const hello = await send(
      rpc('initialize', {
        protocolVersion: revision,
        capabilities: {},
        clientInfo: { name: 'test', version: '1' },
      }),
    );
    expect(hello.status).toBe(200);
    expect(hello.body?.result).toMatchObject({
      protocolVersion: revision,
      serverInfo: { name: 'millrace' },
      capabilities: { tools: {} },
    });
    expect(hello.headers.get('mcp-session-id')).toBeNull();

    const headers = { 'mcp-protocol-version': revision };
    expect((await send({ jsonrpc: '2.0', method: 'notifications/initialized' }, headers)).status).toBe(202);
    const called = await send(rpc('tools/call', { name: 'agent', arguments: { message: 'Hi' } }), headers);
    expect(called.body?.result).toMatchObject({ structuredContent: { status: 'queued' } });
  });

  it('serves 2026-07-28 without a handshake', async () => {
    await publish('agent', 'other');
    const discovered = await modern('server/discover');
    expect(discovered.body?.result).toMatchObject({
      supportedVersions: ['2026-07-28'],
      resultType: 'complete',
      ttlMs: expect.any(Number),
      cacheScope: expect.any(String),
      capabilities: { tools: {}, extensions: { 'io.modelcontextprotocol/tasks': {} } },
      _meta: { 'io.modelcontextprotocol/serverInfo': { name: 'millrace' } },
    });
    expect(discovered.body?.result?.capabilities).not.toHaveProperty('tasks');
    const listed = await modern('tools/list');
    expect(listed.status).toBe(200);
    expect(listed.body?.result).toMatchObject({
      resultType: 'complete',
      ttlMs: 60_000,
      cacheScope: 'private',
    });
    expect(await modern('tools/list')).toEqual({ ...listed, headers: expect.anything() });
    const tools = listed.body?.result?.tools as { name: string; execution?: unknown }[];
    expect(tools.map((one) => one.name)).toEqual(['agent', 'other', 'get_run', 'respond_run', 'cancel_run']);
    expect(tools.filter((one) => 'execution' in one)).toEqual([]);
  });

  it('says which revisions there are', async () => {
    const answer = await send(rpc('tools/list', { _meta: envelope('2031-01-01') }), {
      'mcp-protocol-version': '2031-01-01',
      'mcp-method': 'tools/list',
    });
    expect(answer.status).toBe(400);
    expect(answer.body?.error).toMatchObject({ code: -32022, data: { supported: ['2026-07-28'] } });
    expect((await send(rpc('tools/list'), { 'mcp-protocol-version': '1999-01-01' })).status).toBe(400);
  });
});

describe('a batch', () => {
  const ids = (text: string) => [...text.matchAll(/"id":(\d+)/g)].map(([, id]) => Number(id)).sort();
  const batch = [
    { ...rpc('tools/list'), id: 1 },
    { jsonrpc: '2.0', method: 'notifications/initialized' },
    { ...rpc('ping'), id: 2 },
  ];

  it('is answered request by request, as 2025-03-26 has it', async () => {
    const response = await fetch(gateway.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
      body: JSON.stringify(batch),
    });
    expect(response.status).toBe(200);
    expect(ids(await response.text())).toEqual([1, 2]);
  });

  it('is refused where the revision has none', async () => {
    const answer = await send([rpc('tools/list', { _meta: envelope('2026-07-28') })], {
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': 'tools/list',
    });
    expect([answer.status, answer.body?.error?.code]).toEqual([400, -32600]);
  });

  it('cannot be of any length', async () => {
    const many = Array.from({ length: 101 }, (_, id) => ({ jsonrpc: '2.0', id, method: 'ping' }));
    expect((await send(many)).status).toBe(400);
  });
});

describe('what is no valid request', () => {
  it.each([
    ['no JSON', '{', 400, -32700],
    ['nothing', '', 400, -32700],
    ['no JSON-RPC', { hello: 'there' }, 400, -32600],
    ['a number', 7, 400, -32600],
    ['an empty batch', [], 400, -32600],
    ['a batch of nonsense', [1, 'two'], 400, -32600],
    ['no string for a method', { jsonrpc: '2.0', id: 1, method: 5 }, 400, -32600],
    ['an id that is an object', { jsonrpc: '2.0', id: {}, method: 'tools/list' }, 400, -32600],
    ['too much', rpc('tools/call', { name: 'x'.repeat(10_000) }), 413, -32000],
  ])('refuses %s', async (_, body, status, code) => {
    const answer = await send(body);
    expect({ status: answer.status, code: answer.body?.error?.code }).toEqual({ status, code });
  });

  it.each([
    ['another content type', { 'content-type': 'text/plain' }, 415],
    ['a client that takes no events', { accept: 'application/json' }, 406],
  ])('refuses %s', async (_, headers, status) => {
    expect((await send(rpc('tools/list'), headers)).status).toBe(status);
  });

  it.each(['GET', 'DELETE', 'PUT'])('has no session for %s to be about', async (method) => {
    const answer = await send(undefined, {}, method);
    expect(answer.status).toBe(405);
    expect(answer.headers.get('allow')).toBe('POST');
  });

  it.each([
    ['GET', '/sse'],
    ['POST', '/sse'],
    ['POST', '/messages'],
    ['GET', '/mcp/sse'],
  ])('says to the old transport, on %s %s, where to go', async (method, path) => {
    const response = await fetch(new URL(path, gateway.url), { method });
    expect(response.status).toBe(410);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(await response.json()).toMatchObject({
      code: 'gone',
      detail: expect.stringContaining('POST /mcp'),
    });
  });

  it.each([
    ['another method', 'tools/list', {}, { 'mcp-method': 'tools/call' }],
    ['no method', 'tools/list', {}, { 'mcp-method': undefined }],
    ['another tool', 'tools/call', { name: 'agent' }, { 'mcp-name': 'other' }],
    ['no tool', 'tools/call', { name: 'agent' }, { 'mcp-name': undefined }],
    ['a tool in no known encoding', 'tools/call', { name: 'agent' }, { 'mcp-name': '=?base64?%%?=' }],
    ['another revision', 'tools/list', {}, { 'mcp-protocol-version': '2025-11-25' }],
    ['no revision', 'tools/list', {}, { 'mcp-protocol-version': undefined }],
  ])('refuses headers that say %s', async (_, method, params, headers) => {
    const answer = await modern(method, params, headers);
    expect([answer.status, answer.body?.error?.code]).toEqual([400, -32020]);
  });

  it.each([
    ['nothing of its revision', {}],
    ['nothing of its client', { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' }],
  ])('refuses a request that says %s', async (_, _meta) => {
    const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' };
    const answer = await send(rpc('tools/list', { _meta }), headers);
    expect([answer.status, answer.body?.error?.code]).toEqual([400, -32602]);
  });

  it('echoes an id of any size', async () => {
    for (const id of ['x'.repeat(5_000), Number.MAX_SAFE_INTEGER, '']) {
      const request = { ...rpc('tools/list', { _meta: envelope('2026-07-28') }), id };
      const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' };
      expect((await send(request, headers)).body).toMatchObject({ id, result: { resultType: 'complete' } });
    }
  });

  it('knows no other methods', async () => {
    expect((await send(rpc('logging/setLevel'))).body?.error?.code).toBe(-32601);
    expect((await send(rpc('toString'))).body?.error?.code).toBe(-32601);
    const answer = await modern('nothing/here');
    expect([answer.status, answer.body?.error?.code]).toEqual([404, -32601]);
  });

  it.each([
    ['no name', {}],
    ['a name that is none', { name: 5 }],
    ['arguments that are no object', { name: 'agent', arguments: [] }],
  ])('refuses a call with %s', async (_, params) => {
    await publish('agent');
    expect((await send(rpc('tools/call', params))).body?.error?.code).toBe(-32602);
  });

  it('finds no tool by the names of object properties', async () => {
    await publish('agent');
    for (const name of ['toString', '__proto__', 'constructor']) {
      const answer = await modern('tools/call', { name });
      expect([answer.status, answer.body?.error?.code]).toEqual([200, -32602]);
    }
  });

  it('refuses an idempotency key that is none, and a page that is none', async () => {
    await publish('agent');
    const call = { name: 'agent', arguments: { message: 'Hi' }, _meta: { 'millrace/idempotency-key': 5 } };
    expect((await send(rpc('tools/call', call))).body?.error?.code).toBe(-32602);
    expect((await send(rpc('tools/list', { cursor: 'next' }))).body?.error?.code).toBe(-32602);
  });

  it('takes a cancelled notification for a request it never saw', async () => {
    const answer = await send({
      jsonrpc: '2.0',
      method: 'notifications/cancelled',
      params: { requestId: 9 },
    });
    expect(answer.status).toBe(202);
  });
});

describe('when something is not there', () => {
  it('says that no worker has published a graph', async () => {
    const listed = await send(rpc('tools/list'));
    expect(listed.body?.result?.tools).toHaveLength(3);
    const { body } = await send(rpc('tools/call', { name: 'agent', arguments: { message: 'Hi' } }));
    expect(body?.error).toMatchObject({
      code: -32603,
      message: expect.stringContaining('start a worker'),
      data: { code: 'no_catalog', retryAfterSeconds: 2 },
    });
  });

  it('says that there is no room, and when there may be', async () => {
    await publish('agent');
    const limits = { openRuns: 2, openRunsPerTenant: 1, queuedBytes: 0, memoryPercent: 0 };
    const full = await startTestGateway(test, { waitMs: 0, limits });
    gateway = { ...gateway, url: full.url };
    const call = rpc('tools/call', { name: 'agent', arguments: { message: 'Hi' } });
    expect((await send(call)).body?.result).toMatchObject({ structuredContent: { status: 'queued' } });
    expect((await send(call)).body?.error).toMatchObject({
      code: -32603,
      data: { code: 'too_many_runs', retryAfterSeconds: expect.any(Number) },
    });
    await send(call, { 'x-tenant': 'b' });
    expect((await send(call, { 'x-tenant': 'c' })).body?.error).toMatchObject({
      code: -32603,
      data: { code: 'overloaded', retryAfterSeconds: expect.any(Number) },
    });
    await full.close();
  });

  it('says that Redis is away, and nothing more', async () => {
    await publish('agent');
    const gone = once(gateway.redis, 'end');
    gateway.redis.disconnect();
    await gone;
    for (const answer of [
      await send(rpc('tools/list')),
      await send(rpc('tools/call', { name: 'agent', arguments: { message: 'Hi' } })),
      await modern('tools/call', {
        name: 'get_run',
        arguments: { run_id: '00000000-0000-7000-8000-000000000000' },
      }),
    ]) {
      expect(answer.status).toBe(200);
      expect(answer.body?.error).toEqual({
        code: -32603,
        message: expect.stringContaining('not available just now'),
        data: { code: 'unavailable', retryAfterSeconds: 1 },
      });
    }
  });

  it('does not lose the id of an accepted run with Redis', async () => {
    await publish('agent');
    const worker = new TestWorker(test);
    const patient = await startTestGateway(test);
    gateway = { ...gateway, url: patient.url };
    const call = send(rpc('tools/call', { name: 'agent', arguments: { message: 'Hi' } }));
    const run = await worker.next();
    patient.redis.disconnect();
    await run.finish({ status: 'succeeded', answer: 'Hello' });
    expect((await call).body?.result).toMatchObject({
      structuredContent: { run_id: run.claim.runId, thread_id: run.claim.thread },
    });
    await patient.close();
    await worker.close();
  });
});
