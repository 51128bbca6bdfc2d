import type { SpanAttributes } from '@millrace/shared/tracing';

/** LangChain's names of providers that OpenTelemetry's GenAI conventions call otherwise. */
const PROVIDERS: Readonly<Record<string, string>> = {
  azure: 'azure.ai.openai',
  amazon_bedrock: 'aws.bedrock',
  google_genai: 'gcp.gemini',
  google_vertexai: 'gcp.vertex_ai',
  mistral: 'mistral_ai',
  xai: 'x_ai',
};

export function genAiProvider(provider: string | undefined): string | undefined {
  return provider === undefined ? undefined : (PROVIDERS[provider] ?? provider);
}

/** What a model is asked with, as far as it says. */
export function requestAttributes(
  extraParams: Record<string, unknown> | undefined,
  metadata: Record<string, unknown> | undefined,
): SpanAttributes {
  const params = asRecord(extraParams?.invocation_params);
  return {
    'gen_ai.request.max_tokens': number(
      metadata?.ls_max_tokens ?? params.max_tokens ?? params.max_completion_tokens,
    ),
    'gen_ai.request.temperature': number(metadata?.ls_temperature ?? params.temperature),
    'gen_ai.request.top_p': number(params.top_p),
  };
}

/** Messages as the conventions have them, as JSON. @param batches LangChain's messages, or prompts in words */
export function inputMessages(batches: unknown): string {
  const [first] = Array.isArray(batches) ? (batches as unknown[]) : [];
  const messages = Array.isArray(first) ? (first as unknown[]) : [first];
  return JSON.stringify(messages.map((one) => partsOf(typeof one === 'string' ? { content: one } : one)));
}

export function outputMessages(answer: unknown, finishReason: string | undefined): string {
  return JSON.stringify([{ ...partsOf(answer), role: 'assistant', finish_reason: finishReason }]);
}

const ROLES: Readonly<Record<string, string>> = { human: 'user', ai: 'assistant' };

function partsOf(given: unknown): { role: string; parts: unknown[] } {
  const message = asRecord(given);
  const type = typeof message.getType === 'function' ? String(message.getType()) : 'human';
  const { content, tool_calls: calls, tool_call_id: answers } = message;
  if (type === 'tool') {
    return { role: 'tool', parts: [{ type: 'tool_call_response', id: answers, response: content }] };
  }
  const said = typeof content === 'string' ? [{ type: 'text', content }] : (content as unknown[] | undefined);
  const called = (Array.isArray(calls) ? (calls as unknown[]) : []).map(asRecord);
  return {
    role: ROLES[type] ?? type,
    parts: [
      ...(said ?? []).filter((part) => asRecord(part).content !== ''),
      ...called.map(({ id, name, args }) => ({ type: 'tool_call', id, name, arguments: args })),
    ],
  };
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
