import type { StructuredToolInterface } from '@langchain/core/tools';
import type { Logger } from '@millrace/shared/logger';
import type { McpServer } from './server-file.ts';
import { toolNames } from './tool-name.ts';
import { Upstream } from './upstream.ts';
import { upstreamTool } from './upstream-tool.ts';

/** How long a worker waits for its servers before it takes runs without them. */
const START_MS = 5_000;

/** The MCP servers of a worker. */
export class Upstreams {
  readonly #upstreams: Upstream[];
  #tools: readonly StructuredToolInterface[] | undefined;

  constructor(servers: McpServer[], logger: Logger) {
    const onTools = () => {
      this.#tools = undefined;
    };
    this.#upstreams = servers.map((server) => new Upstream(server, { logger, onTools }));
  }

  /** The same list until a server has other tools. */
  get tools(): readonly StructuredToolInterface[] {
    this.#tools ??= this.#upstreams.flatMap((upstream) => {
      const { tools, server } = upstream;
      const names = toolNames(
        server.name,
        tools.map(({ name }) => name),
      );
      const known = new Map(tools.map((tool) => [tool.name, tool]));
      return [...names].flatMap(([own, name]) => {
        const tool = known.get(own);
        return tool ? [upstreamTool(upstream, tool, name)] : [];
      });
    });
    return this.#tools;
  }

  /** Whether each server can be reached, as far as is known. */
  get up(): { server: string; isUp: boolean }[] {
    return this.#upstreams.map(({ server, isUp }) => ({ server: server.name, isUp }));
  }

  /** Resolves when each server was tried once, or a moment later without those that say nothing. */
  async tried(): Promise<void> {
    const enough = AbortSignal.timeout(START_MS);
    await Promise.all(this.#upstreams.map((one) => one.tried(enough)));
  }

  /** Resolves when no child process is left. */
  async close(): Promise<void> {
    await Promise.all(this.#upstreams.map((one) => one.close()));
  }
}
