import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@millrace/shared/logger';
import {
  type CallToolRequest,
  type CallToolResult,
  Client,
  ProtocolError,
  SdkError,
  SdkErrorCode,
  StreamableHTTPClientTransport,
  type Tool,
} from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import packageJson from '../../package.json' with { type: 'json' };
import type { McpServer } from './server-file.ts';

/** For a server to answer at all; `npx` may have to fetch it first. */
const CONNECT_MS = 30_000;
/** For it to say which revision it speaks. On standard input some older servers never answer to that. */
const PROBE_MS = 10_000;
const LIST_MS = 15_000;
/** For the end of a session to be told. */
const FAREWELL_MS = 1_000;
/** Lines of a child's standard error that are told when it ends. */
const LAST_WORDS = 5;

export interface ConnectionOptions {
  logger: Logger;
  /** Gives up connecting. */
  signal: AbortSignal;
  /** The server's list of tools is another. */
  onToolsChanged: () => void;
}

/** A server that has been connected to, until it is lost. */
export class Connection {
  /** Resolves to why there is no use in it any more. */
  readonly lost: Promise<Error>;
  /** Says that there is no use in it any more. */
  readonly lose: (why: Error) => void;
  readonly #client: Client;
  readonly #transport: StreamableHTTPClientTransport | StdioClientTransport;
  readonly #lastWords: string[] = [];

  private constructor(server: McpServer, { logger, onToolsChanged }: ConnectionOptions) {
    this.#client = new Client(
      { name: 'millrace', title: 'Millrace', version: packageJson.version },
      {
        versionNegotiation: { mode: 'auto', probe: { timeoutMs: PROBE_MS } },
        listChanged: { tools: { autoRefresh: false, onChanged: onToolsChanged } },
      },
    );
    this.#transport = transportOf(server);
    if (this.#transport instanceof StdioClientTransport && this.#transport.stderr) {
      createInterface(this.#transport.stderr as Readable).on('line', (line) => {
        logger.debug({ line }, 'an MCP server says');
        this.#lastWords.push(line);
        if (this.#lastWords.length > LAST_WORDS) this.#lastWords.shift();
      });
    }
    let lose: (why: Error) => void = () => undefined;
    this.lost = new Promise((resolve) => {
      lose = resolve;
    });
    this.lose = lose;
    this.#client.onclose = () => lose(this.#told(new Error('it ended the connection')));
    // Whatever matters comes as a failed request as well.
    this.#client.onerror = (error) =>
      logger.debug({ why: error.message }, 'an MCP connection reports an error');
  }

  /** Rejects when there is no server, or none that speaks MCP. */
  static async open(server: McpServer, options: ConnectionOptions): Promise<Connection> {
    const connection = new Connection(server, options);
    try {
      await connection.#client.connect(connection.#transport, {
        timeout: CONNECT_MS,
        signal: options.signal,
      });
      return connection;
    } catch (error) {
      await connection.close();
      throw connection.#told(error);
    }
  }

  async listTools(): Promise<Tool[]> {
    const { tools } = await this.#client.listTools(undefined, { timeout: LIST_MS });
    return tools;
  }

  callTool(
    params: CallToolRequest['params'],
    options: { timeout: number; signal: AbortSignal | undefined },
  ): Promise<CallToolResult> {
    const { timeout, signal } = options;
    return this.#client.callTool(params, { timeout, ...(signal && { signal }) });
  }

  /** Ends the session, or the child process. */
  async close(): Promise<void> {
    if (this.#transport instanceof StreamableHTTPClientTransport) {
      const enough = new AbortController();
      const farewell = this.#transport.terminateSession().catch(() => undefined);
      await Promise.race([farewell, sleep(FAREWELL_MS, undefined, enough).catch(() => undefined)]);
      enough.abort();
    }
    await this.#client.close();
    // Of a client that never came to be connected.
    await this.#transport.close();
  }

  /** Adds what a child said last: for the log alone, as models read the message. */
  #told(error: unknown): Error {
    const why = error instanceof Error ? error : new Error(String(error));
    return Object.assign(why, this.#lastWords.length > 0 && { stderr: this.#lastWords });
  }
}

function transportOf({ transport }: McpServer): StreamableHTTPClientTransport | StdioClientTransport {
  if ('command' in transport) return new StdioClientTransport({ ...transport, stderr: 'pipe' });
  const { url, headers } = transport;
  return new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
}

/** How a call failed, by what it says of the connection. */
export type CallFault =
  /** The server answered. */
  | 'refused'
  | 'timeout'
  /** The server does not know the session: it has done nothing, and a new session will do. */
  | 'session'
  | 'lost';

export function callFault(error: unknown): CallFault {
  if (error instanceof ProtocolError) return 'refused';
  if (!(error instanceof SdkError)) return 'lost';
  if (error.code === SdkErrorCode.RequestTimeout) return 'timeout';
  if ((error.data as { status?: unknown } | undefined)?.status === 404) return 'session';
  const wentWell: SdkErrorCode[] = [SdkErrorCode.InvalidResult, SdkErrorCode.UnsupportedResultType];
  return wentWell.includes(error.code) ? 'refused' : 'lost';
}
