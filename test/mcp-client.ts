import {
  Client as ModernClient,
  StreamableHTTPClientTransport as ModernTransport,
} from '@modelcontextprotocol/client';
import { Client as OlderClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as OlderTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { RunOutput } from '../apps/gateway/src/mcp/run-result.ts';

export interface CallOptions {
  onprogress?: (step: { progress: number; message?: string | undefined }) => void;
  signal?: AbortSignal;
  idempotencyKey?: string;
  traceparent?: string;
}

export interface CallResult {
  text: string;
  isError: boolean;
  output: RunOutput;
}

/** What the two generations of clients have in common. */
export interface AnyClient {
  revision: () => string | undefined;
  toolNames: () => Promise<string[]>;
  call: (name: string, args: Record<string, unknown>, options?: CallOptions) => Promise<CallResult>;
  close: () => Promise<void>;
}

export type Fetch = (url: string | URL, init?: RequestInit) => Promise<Response>;

function toResult(result: unknown): CallResult {
  const { content, isError, structuredContent } = result as {
    content: { text: string }[];
    isError?: boolean;
    structuredContent?: RunOutput;
  };
  return {
    text: content.map((one) => one.text).join('\n'),
    isError: isError === true,
    output: structuredContent ?? ({} as RunOutput),
  };
}

/** Each request goes where {@link inTurn} sends it. */
const nowhere = new URL('http://gateways.test/mcp');

const metaOf = ({ idempotencyKey, traceparent }: CallOptions) => ({
  _meta: {
    ...(idempotencyKey !== undefined && { 'millrace/idempotency-key': idempotencyKey }),
    ...(traceparent !== undefined && { traceparent }),
  },
});

async function olderClient(fetch: Fetch, headers: Record<string, string>): Promise<AnyClient> {
  const client = new OlderClient({ name: 'test', version: '1' });
  const transport = new OlderTransport(nowhere, { fetch, requestInit: { headers } });
  // The class is looser than the interface under exactOptionalPropertyTypes.
  await client.connect(transport as Parameters<typeof client.connect>[0]);
  return {
    revision: () => transport.protocolVersion,
    toolNames: async () => (await client.listTools()).tools.map((one) => one.name),
    call: async (name, args, options = {}) =>
      toResult(
        await client.callTool({ name, arguments: args, ...metaOf(options) }, undefined, {
          ...(options.onprogress && { onprogress: options.onprogress }),
          ...(options.signal && { signal: options.signal }),
        }),
      ),
    close: () => client.close(),
  };
}

async function modernClient(
  fetch: Fetch,
  headers: Record<string, string>,
  mode: 'legacy' | 'auto' = 'auto',
): Promise<AnyClient> {
  const client = new ModernClient({ name: 'test', version: '1' }, { versionNegotiation: { mode } });
  await client.connect(new ModernTransport(nowhere, { fetch, requestInit: { headers } }));
  return {
    revision: () => client.getNegotiatedProtocolVersion(),
    toolNames: async () => (await client.listTools()).tools.map((one) => one.name),
    call: async (name, args, options = {}) =>
      toResult(
        await client.callTool(
          { name, arguments: args, ...metaOf(options) },
          {
            ...(options.onprogress && { onprogress: options.onprogress }),
            ...(options.signal && { signal: options.signal }),
          },
        ),
      ),
    close: () => client.close(),
  };
}

export const generations = [
  { name: 'v1 client', revision: '2025-11-25', connect: olderClient },
  { name: 'v2 client', revision: '2026-07-28', connect: modernClient },
  {
    name: 'v2 client, older revision',
    revision: '2025-11-25',
    connect: (fetch: Fetch, headers: Record<string, string>) => modernClient(fetch, headers, 'legacy'),
  },
];

/** Sends every request to the next of the gateways, so that none can rely on what another one holds. */
export function inTurn(urls: (string | URL)[]): Fetch {
  let turn = 0;
  return (_, init) => {
    turn += 1;
    return fetch(urls[turn % urls.length] ?? '', init);
  };
}
