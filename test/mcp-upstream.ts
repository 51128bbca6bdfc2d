import { randomUUID } from 'node:crypto';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { z } from 'zod';

/** What a tool of {@link upstreamServer} was called with. */
export interface UpstreamCall {
  tool: string;
  meta: Record<string, unknown> | undefined;
  /** Aborts when the caller has taken the call back. */
  signal: AbortSignal;
}

/**
 * An MCP server of the older line (2025-11-25), as most that there are.
 *
 * @param called is awaited before a tool answers
 */
export function upstreamServer(
  called: (call: UpstreamCall) => Promise<void> | void = () => undefined,
): McpServer {
  const server = new McpServer({ name: 'upstream', version: '1' });
  type Extra = { signal: AbortSignal; _meta?: Record<string, unknown> | undefined };
  const before = (tool: string, { signal, _meta: meta }: Extra) => called({ tool, meta, signal });
  const text = (said: string) => ({ content: [{ type: 'text' as const, text: said }] });
  server.registerTool(
    'echo',
    {
      description: 'Says it again.',
      inputSchema: { text: z.string(), times: z.number().nullable().optional() },
      annotations: { readOnlyHint: true },
    },
    async ({ text: said, times }, extra) => {
      await before('echo', extra);
      return text(said.repeat(times ?? 1));
    },
  );
  server.registerTool(
    'pay',
    { description: 'Pays.', inputSchema: { to: z.string() }, annotations: { destructiveHint: true } },
    async ({ to }, extra) => {
      await before('pay', extra);
      return text(`paid ${to}`);
    },
  );
  server.registerTool(
    'fail',
    { description: 'Fails.', annotations: { readOnlyHint: true } },
    async (extra) => {
      await before('fail', extra);
      return { ...text('no such customer: give its number'), isError: true };
    },
  );
  server.registerTool('files.read', { annotations: { readOnlyHint: true } }, async (extra) => {
    await before('files.read', extra);
    return text('reached');
  });
  return server;
}

export interface HttpUpstream {
  url: string;
  port: number;
  calls: UpstreamCall[];
  headers: IncomingHttpHeaders[];
  /** One for each session. */
  servers: McpServer[];
  /** From now on calls wait. */
  hold: () => void;
  /** Lets them go on. */
  release: () => void;
  /** Resolves when so many calls have come. */
  called: (times?: number) => Promise<void>;
  /** Drops all connections and forgets all sessions. */
  close: () => Promise<void>;
}

/** @param port 0 takes any free one */
export async function startUpstream(port = 0): Promise<HttpUpstream> {
  const sessions = new Map<string, StreamableHTTPServerTransport>();
  const servers: McpServer[] = [];
  const calls: UpstreamCall[] = [];
  const headers: IncomingHttpHeaders[] = [];
  const watchers = new Set<() => void>();
  let gate: Promise<void> | undefined;
  let open: () => void = () => undefined;
  const called = async (call: UpstreamCall) => {
    calls.push(call);
    for (const watcher of watchers) watcher();
    await gate;
  };
  const http = createServer((request, response) => {
    headers.push(request.headers);
    const id = request.headers['mcp-session-id'];
    const known = typeof id === 'string' ? sessions.get(id) : undefined;
    if (known) return void known.handleRequest(request, response);
    if (id !== undefined) return void response.writeHead(404).end('{}');
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (session) => void sessions.set(session, transport),
    });
    const server = upstreamServer(called);
    servers.push(server);
    // The class is looser than the interface under exactOptionalPropertyTypes.
    void server
      .connect(transport as Parameters<typeof server.connect>[0])
      .then(() => transport.handleRequest(request, response));
  });
  await new Promise<void>((resolve) => http.listen(port, '127.0.0.1', resolve));
  const { port: taken } = http.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${taken}/mcp`,
    port: taken,
    calls,
    headers,
    servers,
    hold: () => {
      gate = new Promise((resolve) => {
        open = resolve;
      });
    },
    release: () => {
      open();
      gate = undefined;
    },
    called: (times = 1) =>
      new Promise((resolve) => {
        const watcher = () => {
          if (calls.length < times) return;
          watchers.delete(watcher);
          resolve();
        };
        watchers.add(watcher);
        watcher();
      }),
    close: async () => {
      open();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}
