import {
  Client as ModernClient,
  StreamableHTTPClientTransport as ModernTransport,
} from '@modelcontextprotocol/client';
import { Client as OlderClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as OlderTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import type { RunOutput } from '../apps/gateway/src/mcp/run-result.ts';

export interface CallOptions {
  onprogress?: (step: { progress: number; message?: string | undefined }) => void;
  signal?: AbortSignal;
  idempotencyKey?: string;
  traceparent?: string;
}

export interface CallResult {
  content: object[];
  text: string;
  isError: boolean;
  output: RunOutput;
}

/** What the two generations of clients have in common. */
export interface AnyClient {
  revision: () => string | undefined;
  toolNames: () => Promise<string[]>;
  call: (name: string, args: Record<string, unknown>, options?: CallOptions) => Promise<CallResult>;
  /** The text of a resource. */
  read: (uri: string) => Promise<string>;
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
    content,
    text: content.map((one) => one.text).join('\n'),
    isError: isError === true,
    output: structuredContent ?? ({} as RunOutput),
  };
}

function textOf({ contents }: { contents: object[] }): string {
  const [only] = contents as { text: string }[];
  if (!only || contents.length > 1) throw new Error(`there are ${contents.length} contents`);
  return only.text;
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
  const transport = new OlderTransport(nowhere, { fetch, requestInit: { headers } });
  // The class is looser than the interface under exactOptionalPropertyTypes.
  const client = await olderClientOver(transport as Transport);
  return { ...client, revision: () => transport.protocolVersion };
}

/** A client of the v1 SDK, over whatever transport. */
export async function olderClientOver(transport: Transport): Promise<AnyClient> {
  const client = new OlderClient({ name: 'test', version: '1' });
  await client.connect(transport);
  return {
    // Only HTTP has it.
    revision: () => undefined,
    toolNames: async () => (await client.listTools()).tools.map((one) => one.name),
    call: async (name, args, options = {}) =>
      toResult(
        await client.callTool({ name, arguments: args, ...metaOf(options) }, undefined, {
          ...(options.onprogress && { onprogress: options.onprogress }),
          ...(options.signal && { signal: options.signal }),
        }),
      ),
    read: async (uri) => textOf(await client.readResource({ uri })),
    close: () => client.close(),
  };
}

async function modernClient(
  fetch: Fetch,
  headers: Record<string, string>,
  mode: 'legacy' | 'auto' = 'auto',
): Promise<AnyClient> {
  return modernClientOver(new ModernTransport(nowhere, { fetch, requestInit: { headers } }), mode);
}

/** A client of the v2 SDK, over whatever transport. */
export async function modernClientOver(
  transport: Parameters<ModernClient['connect']>[0],
  mode: 'legacy' | 'auto',
): Promise<AnyClient> {
  const client = new ModernClient({ name: 'test', version: '1' }, { versionNegotiation: { mode } });
  await client.connect(transport);
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
    read: async (uri) => textOf(await client.readResource({ uri })),
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
