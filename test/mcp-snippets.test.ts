import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createLogger } from '@millrace/shared/logger';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { readConfig } from '../apps/gateway/src/config.ts';
import { type Gateway, startGateway } from '../apps/gateway/src/gateway.ts';
import { olderClientOver } from './mcp-client.ts';

/** What hosts are told to be given, given to a client that does with it what they do. */

const root = fileURLToPath(new URL('..', import.meta.url));
const page = readFileSync(join(root, 'docs/mcp-clients.md'), 'utf8');
const key = 'key-of-acme-0123456789';

let elsewhere: string;
let redis: TestRedis;
let gateway: Gateway;

beforeAll(async () => {
  elsewhere = mkdtempSync(join(tmpdir(), 'millrace-snippets-'));
  redis = await testRedis();
  const env = { ...redis.env, LOG_LEVEL: 'silent', PORT: '0', API_KEYS: `acme:${key}` };
  gateway = await startGateway(readConfig(env), createLogger('test', 'silent'));
});

afterAll(async () => {
  await gateway.stop();
  await redis.close();
  rmSync(elsewhere, { recursive: true, force: true });
});

const httpServer = z.strictObject({
  type: z.literal('http').optional(),
  url: z.literal('http://127.0.0.1:2024/mcp'),
  headers: z.strictObject({ Authorization: z.string() }),
});
const stdioServer = z.strictObject({
  command: z.string(),
  args: z.array(z.string()),
  env: z.record(z.string(), z.string()),
});
type HostServer = z.infer<typeof httpServer> | z.infer<typeof stdioServer>;
const servers = z.strictObject({ millrace: z.union([httpServer, stdioServer]) });

/** The fenced block of a language under a heading. */
function snippet(heading: string, language: 'json' | 'sh'): string {
  const section = page.split(/^## /m).find((one) => one.startsWith(`${heading}\n`)) ?? '';
  const [, text] = new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\``, 'm').exec(section) ?? [];
  if (text === undefined) throw new Error(`no ${language} under "${heading}"`);
  return text;
}

const mine = (text: string) =>
  text
    .replace('http://127.0.0.1:2024', gateway.url)
    .replace('/path/to/millrace/', root)
    .replace(/YOUR_KEY|\$\{(env:)?MILLRACE_API_KEY\}|\$\{input:millrace-key\}/, key);

async function toolsOf(transport: Transport): Promise<string[]> {
  const client = await olderClientOver(transport);
  const tools = await client.toolNames();
  await client.close();
  return tools;
}

function connectTo(server: HostServer): Promise<string[]> {
  if ('url' in server) {
    const headers = { Authorization: mine(server.headers.Authorization) };
    const transport = new StreamableHTTPClientTransport(new URL(mine(server.url)), {
      requestInit: { headers },
    });
    // The class is looser than the interface under exactOptionalPropertyTypes.
    return toolsOf(transport as Transport);
  }
  const env = Object.fromEntries(Object.entries(server.env).map(([name, value]) => [name, mine(value)]));
  return toolsOf(
    new StdioClientTransport({ command: server.command, args: server.args.map(mine), cwd: elsewhere, env }),
  );
}

const handles = ['get_run', 'respond_run', 'cancel_run'];

describe('docs/mcp-clients.md', () => {
  it.each(['Claude Code', 'Claude Desktop', 'Cursor'])('has what works in %s', async (host) => {
    const { mcpServers } = z.strictObject({ mcpServers: servers }).parse(JSON.parse(snippet(host, 'json')));
    expect(await connectTo(mcpServers.millrace)).toEqual(handles);
  });

  it('has what works in VS Code', async () => {
    const input = z.strictObject({
      type: z.literal('promptString'),
      id: z.literal('millrace-key'),
      description: z.string(),
      password: z.literal(true),
    });
    const config = z.strictObject({ inputs: z.tuple([input]), servers });
    const { millrace } = config.parse(JSON.parse(snippet('VS Code', 'json'))).servers;
    expect(millrace).toMatchObject({ type: 'http' });
    expect(await connectTo(millrace)).toEqual(handles);
  });

  it('has the command for Claude Code', async () => {
    const [, url = '', name = '', value = ''] =
      /^claude mcp add --transport http millrace (\S+) --header "(\w+): (.+)"$/.exec(
        snippet('Claude Code', 'sh').trim(),
      ) ?? [];
    expect(await connectTo(httpServer.parse({ url, headers: { [name]: value } }))).toEqual(handles);
  });

  it('has the command that works from any folder', async () => {
    const [command = '', ...args] = snippet('By stdio', 'sh').trim().split(' ');
    expect(await connectTo({ command, args, env: { MILLRACE_API_KEY: key } })).toEqual(handles);
  });
});

it('server.json names what there is', () => {
  const read = (file: string) => JSON.parse(readFileSync(join(root, file), 'utf8'));
  const server = read('server.json');
  expect(server.version).toBe(read('apps/gateway/package.json').version);
  expect(server.description.length).toBeLessThanOrEqual(100);
  const [remote] = server.remotes;
  expect(remote).toMatchObject({ type: 'streamable-http', url: expect.stringMatching(/\/mcp$/) });
  // Each variable is named by what it is for.
  const named = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  expect(named(remote.url)).toEqual(Object.keys(remote.variables));
  expect(named(remote.headers[0].value)).toEqual(Object.keys(remote.headers[0].variables));
});
