import { randomUUID } from 'node:crypto';
import type { Claim } from '@millrace/shared/run-moves';
import { idempotencyKeyOf } from './idempotency-key.ts';
import type { LoadedGraph } from './loader/loaded-graph.ts';
import type { McpTools } from './mcp/mcp-tools.ts';
import type { Resumption } from './resume-rule.ts';

/**
 * What the caller may set, less what is ours: identity and LangGraph's own machinery.
 *
 * @param mcp whose tools graphs find as `mcp_tools`
 * @param from checkpoint to start from instead of the head: only where the resume rule says so, or a fork would start
 *   over on each attempt
 */
export function graphConfig(
  { request, thread, runId, tenant, chain }: Claim,
  mcp: Pick<McpTools, 'tools'>,
  from?: string,
) {
  const configurable = Object.fromEntries(
    Object.entries(request.config?.configurable ?? {}).filter(
      ([name]) => !name.startsWith('__pregel_') && !name.startsWith('checkpoint_'),
    ),
  );
  return {
    configurable: {
      ...configurable,
      thread_id: thread,
      run_id: runId,
      graph_id: request.graph,
      assistant_id: request.assistantId,
      tenant,
      idempotency_key: idempotencyKeyOf(chain),
      mcp_tools: () => mcp.tools,
      ...(from !== undefined && { checkpoint_id: from }),
    },
    metadata: { ...request.metadata, run_id: runId, thread_id: thread, graph_id: request.graph },
    ...(request.config?.tags && { tags: request.config.tags }),
    ...(request.context && { context: request.context }),
  };
}

/** What a graph is given, made with its own copy of LangGraph. */
export function graphInput(loaded: LoadedGraph, { request }: Claim, resume: Resumption): unknown {
  const { Command, Send } = loaded.langgraph;
  if (resume.go === 'answer') {
    const { update } = request.command ?? {};
    return new Command({
      resume: resume.answers,
      ...(update != null && { update: update as Record<string, unknown> }),
    });
  }
  if (resume.go === 'continue') return null;
  if (!request.command) return withMessageIds(request.input);
  const { update, goto } = request.command;
  const target = (one: unknown) => {
    const send = one as { node?: unknown; input?: unknown };
    return typeof one === 'object' && one !== null ? new Send(String(send.node), send.input) : String(one);
  };
  return new Command({
    ...(update != null && { update: update as Record<string, unknown> }),
    ...(goto != null && { goto: Array.isArray(goto) ? goto.map(target) : target(goto) }),
  });
}

/**
 * Gives messages of the input an id, as the Agent Server does: a message without one would get another on each
 * attempt, and streams could not be told from the state.
 */
function withMessageIds(input: unknown): unknown {
  if (typeof input !== 'object' || input === null || !('messages' in input)) return input;
  const { messages } = input;
  const list = Array.isArray(messages) ? messages : [messages];
  return {
    ...input,
    messages: list.map((one: unknown) => {
      if (typeof one === 'string') return { role: 'user', content: one, id: randomUUID() };
      if (typeof one !== 'object' || one === null || Array.isArray(one) || 'id' in one) return one;
      return { ...one, id: randomUUID() };
    }),
  };
}
