import { DynamicStructuredTool } from '@langchain/core/tools';
import type { Tool } from '@modelcontextprotocol/client';
import { RunTracer } from '../run-tracer.ts';
import { errorText, toolContent } from './tool-content.ts';
import { McpToolError, type Upstream } from './upstream.ts';

/** What a tool's config has of a run's; see `graphConfig`. */
interface Configurable {
  checkpoint_ns?: unknown;
  idempotency_key?: (config: object) => string;
}

/** In a call's `_meta`; gateways of Millrace read it, and other servers may. */
const IDEMPOTENCY_KEY = 'millrace/idempotency-key';

/** A tool of an MCP server as one of LangChain's, with the server's own schema. */
export function upstreamTool(upstream: Upstream, tool: Tool, name: string): DynamicStructuredTool {
  const repeatable = isRepeatable(upstream, tool);
  return new DynamicStructuredTool({
    name,
    description: tool.description ?? tool.title ?? tool.annotations?.title ?? tool.name,
    // Some providers insist on properties.
    schema: { ...tool.inputSchema, properties: tool.inputSchema.properties ?? {} },
    responseFormat: 'content_and_artifact',
    // The first is what tools with effects are known by; see `effect-call.ts`.
    metadata: { repeatable, annotations: tool.annotations },
    func: async (args, manager, config) => {
      const child = manager?.getChild();
      const tracer = child?.handlers.find((one) => one instanceof RunTracer);
      const configurable: Configurable | undefined = config?.configurable;
      // Without a task there is no run, and nothing that could be repeated.
      const key = configurable?.checkpoint_ns ? configurable.idempotency_key?.(config ?? {}) : undefined;
      const _meta = {
        ...tracer?.contextOf(child?.getParentRunId()),
        ...(key !== undefined && { [IDEMPOTENCY_KEY]: key }),
      };
      const result = await upstream.call(
        { name: tool.name, arguments: args as Record<string, unknown>, _meta },
        { signal: config?.signal, repeatable },
      );
      if (result.isError) throw new McpToolError(errorText(result));
      return toolContent(result);
    },
  });
}

/**
 * Whether it may be called again when nobody knows how the first call went. As MCP has it: not what is said nothing of,
 * unless it only reads or is idempotent.
 */
function isRepeatable({ server }: Upstream, { name, annotations }: Tool): boolean {
  return (
    annotations?.readOnlyHint === true ||
    annotations?.idempotentHint === true ||
    server.repeatable.includes(name)
  );
}
