import type { Serialized } from '@langchain/core/load/serializable';
import type { LLMResult } from '@langchain/core/outputs';
import type { Logger } from '@millrace/shared/logger';
import { Counter, Histogram, type Registry } from 'prom-client';
import { isCached, modelCallOf, type TokenUsage, usageOf } from './model-call.ts';
import { ModelHandler, type StartedCall } from './model-handler.ts';
import type { ModelPrices } from './model-prices.ts';

const CALL_BUCKETS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600];

/** Names that a label may take; what comes after them is `_other`. A graph may take a model's name from its input. */
const MOST_NAMES = 100;

export interface ModelMetrics {
  modelCall: (model: string, status: 'ok' | 'error', seconds: number) => void;
  tokens: (model: string, provider: string | undefined, usage: TokenUsage) => void;
  toolCall: (tool: string, status: 'ok' | 'error') => void;
}

/** @param prices without them no cost is shown */
export function registerModelMetrics(registry: Registry, prices: ModelPrices | undefined): ModelMetrics {
  const registers = [registry];
  const calls = new Counter({
    name: 'millrace_model_calls_total',
    help: 'Calls of chat models, tries of one call counted once.',
    labelNames: ['model', 'status'],
    registers,
  });
  const duration = new Histogram({
    name: 'millrace_model_call_duration_seconds',
    help: 'Until the last token, tries and waits included.',
    labelNames: ['model'],
    buckets: CALL_BUCKETS,
    registers,
  });
  const tokens = new Counter({
    name: 'millrace_model_tokens_total',
    help: 'Tokens, as the provider counts them.',
    labelNames: ['model', 'type'],
    registers,
  });
  const cost = prices
    ? new Counter({
        name: 'millrace_model_cost_usd_total',
        help: 'What the tokens cost by the price file, in US dollars; models without a price are not in it.',
        labelNames: ['model'],
        registers,
      })
    : undefined;
  const tools = new Counter({
    name: 'millrace_tool_calls_total',
    help: 'Calls of tools by models.',
    labelNames: ['tool', 'status'],
    registers,
  });
  const models = new Names();
  const toolNames = new Names();
  return {
    modelCall: (name, status, seconds) => {
      const model = models.label(name);
      calls.inc({ model, status });
      duration.observe({ model }, seconds);
    },
    tokens: (name, provider, { input, output }) => {
      const model = models.label(name);
      tokens.inc({ model, type: 'input' }, input);
      tokens.inc({ model, type: 'output' }, output);
      const price = prices?.get(`${provider}:${name}`) ?? prices?.get(name);
      if (price) cost?.inc({ model }, (input * price.input + output * price.output) / 1e6);
    },
    toolCall: (name, status) => tools.inc({ tool: toolNames.label(name), status }),
  };
}

class Names {
  readonly #known = new Set<string>();

  label(name: string): string {
    if (this.#known.has(name)) return name;
    if (this.#known.size >= MOST_NAMES || name.length > 128) return '_other';
    this.#known.add(name);
    return name;
  }
}

/**
 * Counts the calls of models and tools of one attempt. One for each attempt: LangChain does not tell of a call that was
 * given up, and what is kept of it goes with the attempt.
 */
export class ModelMeter extends ModelHandler {
  readonly name = 'millrace_metrics';
  override ignoreChain = true;
  readonly #metrics: ModelMetrics;
  readonly #logger: Logger;
  readonly #models = new Map<string, { model: string; provider: string | undefined; startedAt: number }>();
  readonly #tools = new Map<string, string>();

  constructor(metrics: ModelMetrics, logger: Logger) {
    super();
    this.#metrics = metrics;
    this.#logger = logger;
  }

  protected override modelStarted({ runId, extraParams, metadata }: StartedCall): void {
    this.#guarded(() => {
      const { model = 'unknown', provider } = modelCallOf(extraParams, metadata);
      this.#models.set(runId, { model, provider, startedAt: performance.now() });
    });
  }

  override handleLLMEnd(output: LLMResult, runId: string): void {
    // The cache counts these: no model was called.
    if (isCached(output)) this.#models.delete(runId);
    else this.#ended(runId, 'ok', () => usageOf(output));
  }

  override handleLLMError(_error: unknown, runId: string): void {
    this.#ended(runId, 'error', () => undefined);
  }

  override handleToolStart(
    tool: Serialized,
    _input: string,
    runId: string,
    _parent?: string,
    _tags?: string[],
    _metadata?: Record<string, unknown>,
    runName?: string,
  ): void {
    this.#guarded(() => this.#tools.set(runId, runName ?? tool.id.at(-1) ?? 'unknown'));
  }

  override handleToolEnd(_output: unknown, runId: string): void {
    this.#toolEnded(runId, 'ok');
  }

  override handleToolError(_error: unknown, runId: string): void {
    this.#toolEnded(runId, 'error');
  }

  #ended(runId: string, status: 'ok' | 'error', usage: () => TokenUsage | undefined): void {
    this.#guarded(() => {
      const call = this.#models.get(runId);
      if (!call) return;
      this.#models.delete(runId);
      this.#metrics.modelCall(call.model, status, (performance.now() - call.startedAt) / 1000);
      const used = usage();
      if (used) this.#metrics.tokens(call.model, call.provider, used);
    });
  }

  #toolEnded(runId: string, status: 'ok' | 'error'): void {
    this.#guarded(() => {
      const tool = this.#tools.get(runId);
      this.#tools.delete(runId);
      if (tool !== undefined) this.#metrics.toolCall(tool, status);
    });
  }

  /** Nothing that is counted may cost a run. */
  #guarded(count: () => void): void {
    try {
      count();
    } catch (error) {
      this.#logger.debug({ err: error }, 'a call could not be counted');
    }
  }
}
