import { afterEach, expect, it } from 'vitest';
import { type TestGateway, testGateway } from './gateway-testing.ts';

let gateway: TestGateway;

async function start(env: Record<string, string> = {}): Promise<TestGateway> {
  gateway = await testGateway({ env });
  return gateway;
}
afterEach(() => gateway.close());

const post = (headers: Record<string, string>) =>
  gateway.send('POST', '/message', { body: { query: 'hi' }, headers: { Prefer: 'wait=0', ...headers } });

it('asks for a key where there are keys, and keeps the tenants apart', async () => {
  await start({ API_KEYS: 'one,acme:two' });
  for (const [headers, challenge] of [
    [{}, 'Bearer realm="millrace"'],
    [{ Authorization: 'Bearer wrong' }, 'Bearer realm="millrace", error="invalid_token"'],
    [{ Authorization: 'Basic b25l' }, 'Bearer realm="millrace"'],
    [{ 'X-Api-Key': '' }, 'Bearer realm="millrace", error="invalid_token"'],
  ] as const) {
    const refused = await post(headers);
    expect(refused.status).toBe(401);
    expect(refused.headers.get('WWW-Authenticate')).toBe(challenge);
    expect(await refused.json()).toMatchObject({ code: 'unauthorized', status: 401 });
  }
  expect((await post({ Authorization: 'bearer one' })).status).toBe(202);
  const acme = await post({ 'X-Api-Key': 'two' });
  expect(acme.status).toBe(202);
  const location = acme.headers.get('Location') ?? '';
  for (const method of ['GET', 'DELETE']) {
    expect((await gateway.send(method, location, { headers: { 'X-Api-Key': 'one' } })).status).toBe(404);
    expect((await gateway.send(method, location, { headers: { 'X-Api-Key': 'two' } })).status).toBe(200);
  }
  for (const path of ['/livez', '/readyz', '/metrics', '/ok']) {
    expect((await gateway.send('GET', path)).status).toBe(200);
  }
});

it('asks everybody in where there are none', async () => {
  await start();
  expect((await post({ Authorization: 'Bearer whatever' })).status).toBe(202);
});

it.each([
  ['evil.example', 403],
  ['evil.example:2024', 403],
  ['localhost.evil.example', 403],
  ['127.0.0.1@evil.example', 403],
  ['127.0.0.1.evil.example', 403],
  ['localhost:2024', 202],
  ['127.0.0.1:9', 202],
  ['[::1]:2024', 202],
  ['api.example', 202],
  ['API.example:443', 202],
])('under the host name %s answers %i', async (host, status) => {
  await start({ ALLOWED_HOSTS: 'api.example' });
  const response = await post({ Host: host });
  expect(response.status).toBe(status);
  if (status === 403) expect(await response.json()).toMatchObject({ code: 'forbidden', field: 'Host' });
  expect((await gateway.send('GET', '/livez', { headers: { Host: host } })).status).toBe(200);
});

it.each([
  ['https://evil.example', 403],
  ['null', 403],
  ['http://localhost.evil.example', 403],
  ['http://localhost:3000', 202],
  ['https://studio.example', 202],
  ['http://studio.example', 403],
])('to a page of %s answers %i', async (origin, status) => {
  await start({ ALLOWED_ORIGINS: 'https://studio.example' });
  const response = await post({ Origin: origin });
  expect(response.status).toBe(status);
  expect(response.headers.get('Access-Control-Allow-Origin')).toBe(status === 202 ? origin : null);
});

it('lets a browser ask first', async () => {
  await start({ API_KEYS: 'k' });
  const headers = { Origin: 'http://localhost:3000', 'Access-Control-Request-Method': 'POST' };
  expect((await gateway.send('OPTIONS', '/message', { headers })).status).toBe(204);
});

it('says what it does not serve', async () => {
  await start();
  const nothing = await gateway.send('GET', '/nothing');
  expect(nothing.status).toBe(404);
  expect(await nothing.json()).toMatchObject({ code: 'not_found', detail: 'There is nothing at /nothing' });
  const method = await gateway.send('PUT', '/message');
  expect(method.status).toBe(405);
  expect(method.headers.get('Allow')).toBe('POST');
  expect(await method.json()).toMatchObject({ code: 'method_not_allowed' });
});

it('names requests as the caller does, when that is sane', async () => {
  await start();
  const named = await gateway.send('GET', '/ok', { headers: { 'X-Request-Id': 'trace-1' } });
  expect(named.headers.get('X-Request-Id')).toBe('trace-1');
  const odd = await gateway.send('GET', '/ok', { headers: { 'X-Request-Id': 'a b"c' } });
  expect(odd.headers.get('X-Request-Id')).toMatch(/^[0-9a-f-]{36}$/);
});

it('tells where things are', async () => {
  await start();
  expect(await (await gateway.send('GET', '/ok')).json()).toEqual({ ok: true });
  expect(await (await gateway.send('GET', '/info')).json()).toMatchObject({ version: expect.any(String) });
  expect(await (await gateway.send('GET', '/')).json()).toMatchObject({ faces: { message: '/message' } });
});

it('is not ready any more when it leaves, and lives on', async () => {
  await start();
  expect((await gateway.send('GET', '/readyz')).status).toBe(200);
  gateway.drain.abort();
  expect((await gateway.send('GET', '/readyz')).status).toBe(503);
  expect((await gateway.send('GET', '/livez')).status).toBe(200);
});

it('counts requests by pattern, and runs as demand', async () => {
  await start();
  for (let i = 0; i < 20; i++) await post({});
  await gateway.send('GET', '/message/some-id');
  await gateway.send('GET', '/made/up');
  await gateway.send('BREW', '/message');
  const response = await gateway.send('GET', '/metrics');
  expect(response.headers.get('Content-Type')).toContain('text/plain');
  const text = await response.text();
  expect(text).toContain('http_requests_total{method="POST",route="/message",status="202"} 20\n');
  expect(text).toContain('http_requests_total{method="GET",route="/message/:run_id",status="404"} 1\n');
  expect(text).toContain('http_requests_total{method="GET",route="unmatched",status="404"} 1\n');
  expect(text).toContain('method="other"');
  expect(text).toMatch(/http_request_duration_seconds_count\{.*route="\/message",status="202"\} 20\n/);
  expect(text).toContain('millrace_queue_demand{queue="default"} 20\n');
  expect(text.endsWith('\n')).toBe(true);
});

it('takes a fault of Redis for unavailability', async () => {
  await start();
  await gateway.services.catalog.list();
  gateway.services.store.submit = async () => {
    throw new Error("Stream isn't writeable and enableOfflineQueue options is false");
  };
  const response = await post({});
  expect(response.status).toBe(503);
  expect(response.headers.get('Retry-After')).toBe('1');
  expect(await response.json()).toMatchObject({ code: 'unavailable' });
});

it('tells nothing of what went wrong inside', async () => {
  await start();
  gateway.services.store.submit = async () => {
    throw new TypeError('secret detail');
  };
  const response = await post({});
  expect(response.status).toBe(500);
  expect(await response.text()).not.toContain('secret');
});

it.each([
  ['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', true],
  ['00-00000000000000000000000000000000-b7ad6b7169203331-01', false],
  ['ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', false],
  ['whatever', false],
])('without traces of its own it passes on the caller’s: %s', async (traceparent, good) => {
  await start();
  const accepted = await post({ traceparent, tracestate: 'vendor=1' });
  expect(accepted.status).toBe(202);
  const { run_id } = (await accepted.json()) as { run_id: string };
  const run = await gateway.services.store.read.run('default', run_id);
  expect(run?.request.trace).toEqual(good ? { traceparent, tracestate: 'vendor=1' } : undefined);
});
