import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { json } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Catalog } from '@millrace/shared/catalog';
import { createLogger } from '@millrace/shared/logger';
import { mastersOf } from '@millrace/shared/redis';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { StdioClientTransport as ModernStdio } from '@modelcontextprotocol/client/stdio';
import { StdioClientTransport as OlderStdio } from '@modelcontextprotocol/sdk/client/stdio.js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { readConfig } from '../apps/gateway/src/config.ts';
import { type Gateway, startGateway } from '../apps/gateway/src/gateway.ts';
import { catalogEntry, TestWorker } from '../apps/gateway/src/mcp/test-gateway.ts';
import { workerConfig } from '../apps/worker/src/config.ts';
import { type RunningWorker, startWorker } from '../apps/worker/src/worker.ts';
import { modernClientOver, olderClientOver } from './mcp-client.ts';

const entry = fileURLToPath(new URL('../scripts/mcp-stdio.mjs', import.meta.url));
const graphs = fileURLToPath(new URL('graphs/langgraph.json', import.meta.url));
const logger = createLogger('test', 'silent');
const key = 'key-of-acme-0123456789';

let elsewhere: string;
let redis: TestRedis;
let worker: RunningWorker | undefined;
let gateway: Gateway | undefined;
const closing: (() => Promise<unknown>)[] = [];

beforeAll(() => {
  elsewhere = mkdtempSync(join(tmpdir(), 'millrace-stdio-'));
});
afterAll(() => rmSync(elsewhere, { recursive: true, force: true }));

beforeEach(async () => {
  redis = await testRedis();
});
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
  await gateway?.stop();
  await worker?.stop();
  gateway = undefined;
  worker = undefined;
  await redis.close();
});

async function startOwn(port = '0'): Promise<Gateway> {
  const env = { ...redis.env, LOG_LEVEL: 'silent', PORT: port, API_KEYS: `acme:${key}` };
  gateway = await startGateway(readConfig(env), logger);
  return gateway;
}

/** As a host starts it: from a folder of its own, with an environment of its own. */
const command = (url: string, env: Record<string, string> = { MILLRACE_API_KEY: key }) => ({
  command: process.execPath,
  args: [entry, '--url', url],
  cwd: elsewhere,
  env: { PATH: process.env.PATH ?? '', ...env },
});

/** A host of each kind. */
const hosts = [
  {
    name: 'v2 host',
    revision: '2026-07-28',
    connect: (started: ReturnType<typeof command>) => modernClientOver(new ModernStdio(started), 'auto'),
  },
  {
    name: 'v2 host, older revision',
    revision: '2025-11-25',
    connect: (started: ReturnType<typeof command>) => modernClientOver(new ModernStdio(started), 'legacy'),
  },
  {
    name: 'v1 host',
    revision: undefined,
    connect: (started: ReturnType<typeof command>) => olderClientOver(new OlderStdio(started)),
  },
];

describe.each(hosts)('a $name', ({ revision, connect: connectBy }) => {
  const connect = async (url: string) => {
    const client = await connectBy(command(url));
    closing.push(() => client.close());
    return client;
  };

  it('works with a gateway as with one over HTTP', async () => {
    const env = { ...redis.env, LOG_LEVEL: 'silent', WORKER_PORT: '0', LANGGRAPH_CONFIG: graphs };
    worker = await startWorker(workerConfig(env), logger);
    const client = await connect(`${(await startOwn()).url}/mcp`);
    expect(client.revision()).toBe(revision);
    expect(await client.toolNames()).toEqual(expect.arrayContaining(['chain', 'ask', 'get_run']));

    const heard: string[] = [];
    const options = {
      idempotencyKey: 'one',
      onprogress: ({ message }: { message?: string | undefined }) => heard.push(message ?? ''),
    };
    const { output } = await client.call('chain', { text: 'x' }, options);
    expect(output).toMatchObject({ status: 'succeeded', values: { log: ['a:x', 'b:x', 'c:x'] } });
    expect(heard[0]).toBe('queued');
    // What stands beside the arguments comes through as well.
    const again = await client.call('chain', { text: 'x' }, { idempotencyKey: 'one' });
    expect(again.output.run_id).toBe(output.run_id);

    const asked = await client.call('ask', { text: '' });
    expect(asked.output.status).toBe('interrupted');
    const { run_id } = asked.output;
    expect((await client.call('respond_run', { run_id, answer: 'yes' })).output.status).toBe('succeeded');
    expect(JSON.parse(await client.read(`run://${run_id}`))).toMatchObject({ status: 'interrupted' });
    await expect(client.read('run://nonsense')).rejects.toMatchObject({
      code: -32602,
      data: { uri: 'run://nonsense' },
    });
  });

  it('says what is wrong while the gateway is away, and goes on when it is back', async () => {
    await new Catalog(redis.redis, redis.keys).publish([catalogEntry('agent')]);
    const { url } = await startOwn();
    const client = await connect(`${url}/mcp`);
    const tools = await client.toolNames();
    await gateway?.stop();
    await expect(client.call('agent', { message: 'Hi' })).rejects.toMatchObject({
      code: -32603,
      message: expect.stringContaining(`The gateway at ${url}/mcp cannot be reached`),
    });
    await startOwn(new URL(url).port);
    expect(await client.toolNames()).toEqual(tools);
  });

  it('is told that its key is not taken', async () => {
    const { url } = await startOwn();
    for (const env of [{ MILLRACE_API_KEY: 'another-key-0123456789' }, {}]) {
      await expect(connectBy(command(`${url}/mcp`, env))).rejects.toThrow('taken from MILLRACE_API_KEY');
    }
    const client = await connectBy(command(`${url}/mcp`, { API_KEY: key }));
    expect(await client.toolNames()).toContain('get_run');
    await client.close();
  });
});

/** The command itself, as a host that writes its own lines. */
function raw(args: string[], env: Record<string, string> = { MILLRACE_API_KEY: key }) {
  const child = spawn(process.execPath, [entry, ...args], {
    cwd: elsewhere,
    env: { PATH: process.env.PATH, ...env },
  });
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  closing.push(() => {
    child.kill('SIGKILL');
    return exited;
  });
  const errors: string[] = [];
  createInterface(child.stderr).on('line', (line) => errors.push(line));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    send: (message: object) => child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`),
    sendText: (text: string) => child.stdin.write(text),
    /** The next line of its output, which must be a message. */
    next: async () => JSON.parse((await lines.next()).value ?? 'null') as Record<string, unknown> | null,
    end: () => child.stdin.end(),
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    exited,
    errors,
  };
}

describe('the command', () => {
  const envelope = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
  };

  it('ends with its input, without an error', async () => {
    const host = raw(['--url', 'http://127.0.0.1:9']);
    host.send({ id: 1, method: 'tools/list' });
    expect(await host.next()).toMatchObject({ id: 1, error: { code: -32603 } });
    host.end();
    expect(await host.exited).toBe(0);
    expect(await host.next()).toBeNull();
  });

  it('ends with its input while a call is under way', async () => {
    await new Catalog(redis.redis, redis.keys).publish([catalogEntry('agent')]);
    const host = raw(['--url', (await startOwn()).url]);
    const call = { name: 'agent', arguments: { message: 'Hi' } };
    host.send({ id: 1, method: 'tools/call', params: { ...call, _meta: { progressToken: 1 } } });
    expect(await host.next()).toMatchObject({ method: 'notifications/progress' });
    host.end();
    expect(await host.exited).toBe(0);
  });

  it('gives every error of the gateway as it is, whatever its status', async () => {
    const host = raw(['--url', `${(await startOwn()).url}/mcp`]);
    // 404 with a JSON-RPC error.
    host.send({ id: 'a', method: 'nothing/here', params: { _meta: envelope } });
    expect(await host.next()).toMatchObject({ id: 'a', error: { code: -32601 } });
    // 400 with one.
    const future = { ...envelope, 'io.modelcontextprotocol/protocolVersion': '2031-01-01' };
    host.send({ id: 'b', method: 'tools/list', params: { _meta: future } });
    expect(await host.next()).toMatchObject({ id: 'b', error: { code: -32022 } });
    host.send({ id: 'c', method: 'tools/call', params: { name: 'x'.repeat(2_000_000) } });
    expect(await host.next()).toMatchObject({ id: 'c', error: { message: expect.stringContaining('413') } });
    expect(host.errors).toEqual([]);
  });

  it('answers nothing to a request that was taken back', async () => {
    await new Catalog(redis.redis, redis.keys).publish([catalogEntry('agent')]);
    const host = raw(['--url', `${(await startOwn()).url}/mcp`]);
    const call = { name: 'agent', arguments: { message: 'Hi' } };
    host.send({ id: 1, method: 'tools/call', params: { ...call, _meta: { progressToken: 1 } } });
    expect(await host.next()).toMatchObject({ method: 'notifications/progress' });
    host.send({ method: 'notifications/cancelled', params: { requestId: 1 } });
    host.send({ id: 2, method: 'ping' });
    expect(await host.next()).toMatchObject({ id: 2, result: {} });
    // Nobody waits for the run any more, long before the call's time is over.
    const watched = async () => {
      const channels = `${redis.keys.prefix}:events:*`;
      return (
        await Promise.all(mastersOf(redis.redis).map((one) => one.pubsub('CHANNELS', channels)))
      ).flat();
    };
    await vi.waitUntil(async () => (await watched()).length === 0, { timeout: 15_000 });
  });

  it('carries subscriptions', async () => {
    await new Catalog(redis.redis, redis.keys).publish([catalogEntry('agent')]);
    const player = new TestWorker(redis);
    closing.push(() => player.close());
    const { url } = await startOwn();
    const host = raw(['--url', `${url}/mcp`]);
    const call = { name: 'agent', arguments: { message: 'Hi' } };
    host.send({ id: 1, method: 'tools/call', params: { ...call, _meta: { ...envelope, progressToken: 1 } } });
    const run = await player.next();
    const uri = `run://${run.claim.runId}`;
    const listen = { notifications: { resourceSubscriptions: [uri] } };
    host.send({ id: 2, method: 'subscriptions/listen', params: { ...listen, _meta: envelope } });
    for (let message = await host.next(); ; message = await host.next()) {
      if (message?.method === 'notifications/subscriptions/acknowledged') break;
    }
    await run.finish({ status: 'succeeded', answer: 'x' });
    for (let message = await host.next(); ; message = await host.next()) {
      if (message?.method !== 'notifications/resources/updated') continue;
      expect(message.params).toMatchObject({ uri });
      break;
    }
  });

  it('passes over what is no message', async () => {
    const host = raw(['--url', 'http://127.0.0.1:9']);
    host.sendText('hello\n{"jsonrpc":"1.0"}\n');
    host.send({ id: 1, method: 'ping' });
    expect(await host.next()).toMatchObject({ id: 1 });
  });

  it('makes of each message the headers that its revision wants', async () => {
    const seen: IncomingHttpHeaders[] = [];
    const recorder = createServer(async (request, response) => {
      seen.push(request.headers);
      const { id } = (await json(request)) as { id: number };
      const result = {
        protocolVersion: '2025-06-18',
        capabilities: {},
        serverInfo: { name: 'x', version: '1' },
      };
      response
        .setHeader('content-type', 'application/json')
        .end(JSON.stringify({ jsonrpc: '2.0', id, result }));
    }).listen(0, '127.0.0.1');
    closing.push(async () => recorder.close());
    await once(recorder, 'listening');
    const host = raw(['--url', `http://127.0.0.1:${(recorder.address() as AddressInfo).port}`]);
    const hello = {
      protocolVersion: '2025-11-25',
      capabilities: {},
      clientInfo: { name: 'x', version: '1' },
    };
    const requests: [string, object][] = [
      ['initialize', hello],
      ['tools/list', {}],
      ['tools/call', { name: 'zählen', _meta: envelope }],
      ['resources/read', { uri: 'run://1', _meta: envelope }],
    ];
    for (const [method, params] of requests) {
      host.send({ id: seen.length, method, params });
      await host.next();
    }
    const names = ['authorization', 'mcp-protocol-version', 'mcp-method', 'mcp-name'];
    expect(seen.map((headers) => names.map((name) => headers[name]))).toEqual([
      [`Bearer ${key}`, undefined, undefined, undefined],
      // What the gateway agreed to.
      [`Bearer ${key}`, '2025-06-18', undefined, undefined],
      [`Bearer ${key}`, '2026-07-28', 'tools/call', '=?base64?esOkaGxlbg==?='],
      [`Bearer ${key}`, '2026-07-28', 'resources/read', 'run://1'],
    ]);
  });

  it('says that something else answers there', async () => {
    const other = createServer((_, response) => response.writeHead(404).end('<html>')).listen(0, '127.0.0.1');
    closing.push(async () => other.close());
    await once(other, 'listening');
    const host = raw(['--url', `http://127.0.0.1:${(other.address() as AddressInfo).port}/mcp`]);
    host.send({ id: 1, method: 'tools/list' });
    expect(await host.next()).toMatchObject({ error: { message: expect.stringContaining('404') } });
    host.kill('SIGTERM');
    expect(await host.exited).toBe(0);
  });

  it.each([
    [['--url', 'nowhere'], '--url must be'],
    [['--url', 'ftp://example.com'], '--url must be'],
    [['--key', 'secret'], 'Unknown option'],
  ])('refuses %s', async (args, text) => {
    const host = raw(args);
    expect(await host.exited).toBe(2);
    expect(host.errors.join('\n')).toContain(text);
    expect(await host.next()).toBeNull();
  });
});
