import type { Serialized } from '@langchain/core/load/serializable';
import type { LLMResult } from '@langchain/core/outputs';
import { START } from '@langchain/langgraph';
import type { TraceContext } from '@millrace/shared/contract/trace';
import type { Logger } from '@millrace/shared/logger';
import type { Span, SpanAttributes, Tracing } from '@millrace/shared/tracing';
import { answerOf, isCached, modelCallOf, responseOf, usageOf } from './model-call.ts';
import { ModelHandler, type StartedCall } from './model-handler.ts';
import { genAiProvider, inputMessages, outputMessages, requestAttributes } from './trace-attributes.ts';

/** LangGraph's mark on the one chain that is a node's execution. */
const STEP = /^graph:step:(\d+)$/;

/**
 * Spans of what a graph does in one attempt, after OpenTelemetry's GenAI conventions: the agent's invocation, its steps,
 * and calls of models and tools. Other chains of LangChain have none; what they call belongs to the nearest that has.
 */
export class RunTracer extends ModelHandler {
  readonly name = 'millrace_tracing';
  readonly #tracing: Tracing;
  readonly #logger: Logger;
  readonly #root: Span;
  /** By LangChain's run id: the span it is in, and whether that is its own. */
  readonly #spans = new Map<string, { span: Span; own: boolean }>();

  constructor(tracing: Tracing, parent: Span, agent: { graph: string; thread: string }, logger: Logger) {
    super();
    this.#tracing = tracing;
    this.#logger = logger;
    this.#root = tracing.start(`invoke_agent ${agent.graph}`, {
      parent,
      attributes: {
        'gen_ai.operation.name': 'invoke_agent',
        'gen_ai.agent.name': agent.graph,
        'gen_ai.conversation.id': agent.thread,
      },
    });
  }

  /** Of the invocation as a whole. */
  get span(): Span {
    return this.#root;
  }

  /** What work elsewhere names as its parent. @param runId LangChain's, of the call that leads to it */
  contextOf(runId: string | undefined): TraceContext | undefined {
    return this.#of(runId).context;
  }

  /** @param failure the kind of the error that the graph came to */
  close(failure: string | undefined): void {
    // LangChain does not tell of what was given up.
    for (const { span, own } of this.#spans.values()) if (own) span.end('abandoned');
    this.#spans.clear();
    this.#root.end(failure);
  }

  override handleChainStart(
    _chain: Serialized,
    _inputs: unknown,
    runId: string,
    parent?: string,
    tags: string[] = [],
    metadata: Record<string, unknown> = {},
    _type?: string,
    name?: string,
  ): void {
    this.#guarded(() => {
      const step = tags.map((tag) => STEP.exec(tag)?.[1]).find((found) => found !== undefined);
      const node = String(metadata.langgraph_node ?? name);
      if (step === undefined || node === START) {
        this.#spans.set(runId, { span: this.#of(parent), own: false });
        return;
      }
      this.#start(runId, parent, `step ${node}`, 'internal', {
        'langgraph.node': node,
        'langgraph.step': Number(step),
      });
    });
  }

  override handleChainEnd(_outputs: unknown, runId: string): void {
    this.#end(runId);
  }

  override handleChainError(error: unknown, runId: string): void {
    this.#end(runId, {}, failureOf(error));
  }

  protected override modelStarted(call: StartedCall): void {
    const { runId, parent, messages, extraParams, metadata } = call;
    this.#guarded(() => {
      const { model, provider } = modelCallOf(extraParams, metadata);
      this.#start(runId, parent, model === undefined ? 'chat' : `chat ${model}`, 'client', {
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': genAiProvider(provider),
        'gen_ai.request.model': model,
        ...requestAttributes(extraParams, metadata),
        ...(this.#tracing.content && { 'gen_ai.input.messages': inputMessages(messages) }),
      });
    });
  }

  override handleLLMEnd(output: LLMResult, runId: string): void {
    this.#guarded(() => {
      const { model, finishReason } = responseOf(output);
      const usage = usageOf(output);
      this.#end(runId, {
        'gen_ai.response.model': model,
        'gen_ai.response.finish_reasons': finishReason === undefined ? undefined : [finishReason],
        'gen_ai.usage.input_tokens': usage?.input,
        'gen_ai.usage.output_tokens': usage?.output,
        ...(isCached(output) && { 'millrace.cached': true }),
        ...(this.#tracing.content && {
          'gen_ai.output.messages': outputMessages(answerOf(output), finishReason),
        }),
      });
    });
  }

  override handleLLMError(error: unknown, runId: string): void {
    this.#end(runId, {}, kindOf(error));
  }

  override handleToolStart(
    tool: Serialized,
    input: string,
    runId: string,
    parent?: string,
    _tags?: string[],
    _metadata?: Record<string, unknown>,
    name: string = tool.id.at(-1) ?? 'unknown',
    callId?: string,
  ): void {
    this.#guarded(() =>
      this.#start(runId, parent, `execute_tool ${name}`, 'internal', {
        'gen_ai.operation.name': 'execute_tool',
        'gen_ai.tool.name': name,
        'gen_ai.tool.type': 'function',
        'gen_ai.tool.call.id': callId,
        ...(this.#tracing.content && { 'gen_ai.tool.call.arguments': input }),
      }),
    );
  }

  override handleToolEnd(output: unknown, runId: string): void {
    const content = (output as { content?: unknown } | null)?.content ?? output;
    const result = typeof content === 'string' ? content : JSON.stringify(content);
    this.#end(runId, this.#tracing.content ? { 'gen_ai.tool.call.result': result } : {});
  }

  override handleToolError(error: unknown, runId: string): void {
    this.#end(runId, {}, failureOf(error));
  }

  #of(runId: string | undefined): Span {
    return (runId === undefined ? undefined : this.#spans.get(runId)?.span) ?? this.#root;
  }

  #start(
    runId: string,
    parent: string | undefined,
    name: string,
    kind: 'internal' | 'client',
    attributes: SpanAttributes,
  ): void {
    const span = this.#tracing.start(name, { kind, parent: this.#of(parent), attributes });
    this.#spans.set(runId, { span, own: true });
  }

  #end(runId: string, attributes: SpanAttributes = {}, failure?: string): void {
    this.#guarded(() => {
      const found = this.#spans.get(runId);
      this.#spans.delete(runId);
      if (!found?.own) return;
      found.span.set(attributes);
      found.span.end(failure);
    });
  }

  /** Nothing that is traced may cost a run. */
  #guarded(trace: () => void): void {
    try {
      trace();
    } catch (error) {
      this.#logger.debug({ err: error }, 'a call could not be traced');
    }
  }
}

/** A question, or a jump to the parent graph, is thrown as well, and is no failure. */
function failureOf(error: unknown): string | undefined {
  const bubbles = (error as { is_bubble_up?: unknown } | null)?.is_bubble_up === true;
  return bubbles ? undefined : kindOf(error);
}

/** The class of an error: its message may quote a prompt. */
export function kindOf(error: unknown): string {
  return error instanceof Error ? error.name : '_OTHER';
}
