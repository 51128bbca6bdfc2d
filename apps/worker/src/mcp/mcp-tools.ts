import type { StructuredToolInterface } from '@langchain/core/tools';
import type { Logger } from '@millrace/shared/logger';
import type { McpServer } from './server-file.ts';

/** The tools of the MCP servers that a worker was told of. */
export interface McpTools {
  /** As of now; the same list until it changes. */
  readonly tools: readonly StructuredToolInterface[];
  readonly up: { server: string; isUp: boolean }[];
  close: () => Promise<void>;
}

/** Resolves when the servers have been tried once. The client is loaded only for those who have any: it takes half a second. */
export async function openMcpTools(servers: McpServer[], logger: Logger): Promise<McpTools> {
  if (servers.length === 0) return { tools: [], up: [], close: async () => undefined };
  const { Upstreams } = await import('./upstreams.ts');
  const upstreams = new Upstreams(servers, logger);
  await upstreams.tried();
  return upstreams;
}
