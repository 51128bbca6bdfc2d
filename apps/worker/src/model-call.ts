import type { LLMResult } from '@langchain/core/outputs';

/** What LangChain's callbacks tell at the beginning of a model's call. */
export interface ModelCall {
  /** As it was configured; undefined when the model does not say. */
  model: string | undefined;
  provider: string | undefined;
}

export interface TokenUsage {
  input: number;
  output: number;
}

export function modelCallOf(
  extraParams: Record<string, unknown> | undefined,
  metadata: Record<string, unknown> | undefined,
): ModelCall {
  const params = asRecord(extraParams?.invocation_params);
  const model = [metadata?.ls_model_name, params.model, params.model_name].find(isText);
  const provider = metadata?.ls_provider;
  return { model, provider: isText(provider) ? provider : undefined };
}

/** The message that a chat model answered with, whichever copy of LangChain made it. */
export function answerOf(output: LLMResult): Record<string, unknown> {
  return asRecord((output.generations[0]?.[0] as { message?: unknown } | undefined)?.message);
}

/** Whether it came from the cache, and no model was asked. */
export function isCached(output: LLMResult): boolean {
  return asRecord(answerOf(output).response_metadata).cached === true;
}

/** Which model answered, and why it stopped, as far as the provider tells. */
export function responseOf(output: LLMResult): {
  model: string | undefined;
  finishReason: string | undefined;
} {
  // Streamed, it is beside the message; else within it.
  const beside = output.generations[0]?.[0]?.generationInfo ?? {};
  const within = asRecord(answerOf(output).response_metadata);
  return {
    model: [beside.model_name, within.model_name, within.model].find(isText),
    finishReason: [beside.finish_reason, within.finish_reason, within.stop_reason].find(isText),
  };
}

/** @returns undefined when the provider does not tell. */
export function usageOf(output: LLMResult): TokenUsage | undefined {
  const usage = asRecord(answerOf(output).usage_metadata);
  const old = asRecord(asRecord(output.llmOutput).tokenUsage);
  const input = usage.input_tokens ?? old.promptTokens;
  const tokens = usage.output_tokens ?? old.completionTokens;
  if (typeof input !== 'number' || typeof tokens !== 'number') return undefined;
  return { input, output: tokens };
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
