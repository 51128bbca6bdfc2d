import { EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@millrace/shared/logger';
import type { CallToolRequest, CallToolResult, Tool } from '@modelcontextprotocol/client';
import { Connection, callFault } from './connection.ts';
import type { McpServer } from './server-file.ts';

/** Between tries to reach a server that is down. */
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;
/** Who was up for so long is tried again at once. */
const STEADY_MS = 10_000;
/** How often a server is asked for its tools: not all tell of changes, and one on HTTP goes without a word. */
const LOOK_MS = 30_000;

/** A call of a tool that came to nothing; the model reads the message. */
export class McpToolError extends Error {
  override readonly name = 'McpToolError';
}

export interface UpstreamOptions {
  logger: Logger;
  /** It has other tools than before. */
  onTools: () => void;
}

/** One MCP server: keeps up the connection to it, as long as it is not closed. */
export class Upstream {
  readonly server: McpServer;
  readonly #logger: Logger;
  readonly #onTools: () => void;
  readonly #closing = new AbortController();
  /** Emits `tried` when a try to connect is over. */
  readonly #tries = new EventEmitter();
  readonly #kept: Promise<void>;
  #connection: Connection | undefined;
  #tools: readonly Tool[] = [];
  #why: string | undefined = 'it has not answered yet';
  #isToldDown = false;

  constructor(server: McpServer, { logger, onTools }: UpstreamOptions) {
    this.server = server;
    this.#logger = logger.child({ server: server.name });
    this.#onTools = onTools;
    // Any number of calls may wait for a new session.
    this.#tries.setMaxListeners(0);
    this.#kept = this.#keep();
  }

  get isUp(): boolean {
    return this.#connection !== undefined;
  }

  /** The tools that may be called, as the server last told; also while it is down. */
  get tools(): readonly Tool[] {
    const { tools: allowed } = this.server;
    return allowed ? this.#tools.filter(({ name }) => allowed.includes(name)) : this.#tools;
  }

  /** Resolves when the try to connect that is going on is over, however it went. */
  async tried(signal: AbortSignal): Promise<void> {
    await once(this.#tries, 'tried', { signal }).catch(() => undefined);
  }

  /**
   * @param repeatable whether the call may be made again without asking
   * @throws McpToolError for whatever went wrong, but for what `signal` did
   */
  async call(
    params: CallToolRequest['params'],
    { signal, repeatable }: { signal: AbortSignal | undefined; repeatable: boolean },
  ): Promise<CallToolResult> {
    const timeout = this.server.timeoutMs;
    const attempt = async () => {
      const connection = this.#up();
      try {
        return await connection.callTool(params, { timeout, signal });
      } catch (error) {
        // It is tried at once whether the server is there.
        if (!signal?.aborted && isLost(error)) connection.lose(asError(error));
        throw error;
      }
    };
    try {
      return await attempt().catch(async (error) => {
        if (signal?.aborted || callFault(error) !== 'session') throw error;
        await this.tried(AbortSignal.any([AbortSignal.timeout(timeout), ...(signal ? [signal] : [])]));
        return attempt();
      });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw this.#toToolError(error, params.name, repeatable);
    }
  }

  /** Lets go of the server; a child process has ended then. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#kept;
  }

  #up(): Connection {
    if (this.#connection) return this.#connection;
    const { name } = this.server;
    throw new McpToolError(
      `The MCP server "${name}" is down (${this.#why}). Its tools cannot be called now.`,
    );
  }

  #toToolError(error: unknown, tool: string, repeatable: boolean): McpToolError {
    if (error instanceof McpToolError) return error;
    const { name, timeoutMs } = this.server;
    const { message } = asError(error);
    const fault = callFault(error);
    if (fault === 'refused')
      return new McpToolError(`The MCP server "${name}" refused "${tool}": ${message}`);
    const what =
      fault === 'timeout'
        ? `The MCP server "${name}" did not answer "${tool}" within ${timeoutMs / 1000} s.`
        : `The MCP server "${name}" was lost while it was asked for "${tool}": ${message}.`;
    const care = repeatable
      ? ''
      : ' It may have done its work all the same: find out before you call it again.';
    return new McpToolError(`${what}${care}`);
  }

  async #keep(): Promise<void> {
    const { signal } = this.#closing;
    let pauseMs = FIRST_PAUSE_MS;
    while (!signal.aborted) {
      const began = performance.now();
      let isTried = false;
      const why = await this.#serve().catch((error) => {
        isTried = true;
        return asError(error);
      });
      if (signal.aborted) return;
      this.#isDown(why);
      if (isTried) this.#tries.emit('tried');
      if (performance.now() - began > STEADY_MS) pauseMs = FIRST_PAUSE_MS;
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    }
  }

  /** Connects and stays so. Resolves to why it did not last; rejects when it did not come to be. */
  async #serve(): Promise<Error> {
    const { signal } = this.#closing;
    const look = () => void this.#look(connection).catch((error) => connection.lose(asError(error)));
    const connection: Connection = await Connection.open(this.server, {
      logger: this.#logger,
      signal,
      onToolsChanged: () => this.#connection && look(),
    });
    const leave = () => connection.lose(asError(signal.reason));
    signal.addEventListener('abort', leave);
    let timer: NodeJS.Timeout | undefined;
    try {
      await this.#look(connection);
      this.#connection = connection;
      this.#isToldDown = false;
      this.#logger.info({ tools: this.tools.length }, `the MCP server ${this.server.name} is up`);
      this.#tries.emit('tried');
      timer = setInterval(look, LOOK_MS);
      if (signal.aborted) leave();
      return await connection.lost;
    } finally {
      clearInterval(timer);
      signal.removeEventListener('abort', leave);
      this.#connection = undefined;
      this.#why = 'it was lost a moment ago';
      await connection.close();
    }
  }

  async #look(connection: Connection): Promise<void> {
    const tools = await connection.listTools();
    if (JSON.stringify(tools) === JSON.stringify(this.#tools)) return;
    this.#tools = tools;
    const known = new Set(tools.map(({ name }) => name));
    const missing = this.server.tools?.filter((name) => !known.has(name)) ?? [];
    if (missing.length > 0)
      this.#logger.warn({ missing }, `the MCP server ${this.server.name} has no such tools`);
    this.#onTools();
  }

  #isDown(why: Error): void {
    const { stderr } = why as { stderr?: string[] };
    this.#why = causeOf(why);
    // Once: it may be down for hours.
    if (!this.#isToldDown) {
      // Not the error itself: one of a child that cannot be started has its arguments.
      const told = { why: this.#why, stderr };
      this.#logger.warn(told, `the MCP server ${this.server.name} is down; it is tried again`);
    }
    this.#isToldDown = true;
  }
}

function isLost(error: unknown): boolean {
  return ['lost', 'session'].includes(callFault(error));
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** `fetch failed` alone says nothing. */
function causeOf(error: Error): string {
  const { cause } = error;
  return cause instanceof Error && !error.message.includes(cause.message)
    ? `${error.message}: ${causeOf(cause)}`
    : error.message;
}
