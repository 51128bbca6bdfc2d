import type { AIMessage, AIMessageChunk } from '@langchain/core/messages';
import type { ChatGeneration } from '@langchain/core/outputs';
import { freshId, renameIds } from './call-ids.ts';

/** Of what is stored; an entry of another version is a miss. */
const VERSION = 1;

const NO_TOKENS = { input_tokens: 0, output_tokens: 0, total_tokens: 0 };

/** A model's answer as it is kept. */
interface KeptAnswer {
  version: number;
  text: string;
  generationInfo?: Record<string, unknown> | undefined;
  message: {
    content: unknown;
    additional_kwargs: Record<string, unknown>;
    response_metadata: Record<string, unknown>;
    tool_calls: { name: string; args: Record<string, unknown>; id?: string }[];
  };
}

/** The classes of messages, of the copy of LangChain whose model answers. */
export interface MessageClasses {
  AIMessage: typeof AIMessage;
  AIMessageChunk: typeof AIMessageChunk;
}

/** @returns undefined for an answer that is better asked for again: an empty one, or a tool's call that cannot be read */
export function keepAnswer({ text, generationInfo, message }: ChatGeneration): Buffer | undefined {
  const said = message as AIMessage;
  const { content, additional_kwargs, response_metadata, tool_calls = [], invalid_tool_calls = [] } = said;
  if (invalid_tool_calls.length > 0 || (content.length === 0 && tool_calls.length === 0)) return undefined;
  const kept = {
    version: VERSION,
    text,
    generationInfo,
    message: { content, additional_kwargs, response_metadata, tool_calls },
  };
  return Buffer.from(JSON.stringify(kept));
}

/**
 * A kept answer as one more answer. It has no id yet, so that LangChain gives it one of its own, and the ids of its tools' calls
 * are new: a thread may hold the former answer already, where a message of the same id would be replaced, and a call of the
 * same id is taken for answered. It has used no tokens, and says where it comes from.
 *
 * @returns undefined for what is no such answer
 */
export function answerFrom(
  stored: Buffer,
  { AIMessage, AIMessageChunk }: MessageClasses,
): { whole: ChatGeneration; chunk: ChatGeneration & { message: AIMessageChunk } } | undefined {
  const kept = JSON.parse(stored.toString()) as KeptAnswer;
  if (kept.version !== VERSION) return undefined;
  const ids = kept.message.tool_calls.flatMap(({ id }) => (id === undefined ? [] : [id]));
  const renamed = renameIds(
    kept.message,
    new Map(ids.map((id) => [id, freshId(id)])),
  ) as KeptAnswer['message'];
  const { tool_calls: calls, ...rest } = renamed;
  const fields = {
    ...(rest as { content: string; additional_kwargs: Record<string, unknown> }),
    response_metadata: { ...rest.response_metadata, cached: true },
  };
  const { text, generationInfo = {} } = kept;
  const toolCalls = calls.map((call) => ({ ...call, type: 'tool_call' as const }));
  const chunks = calls.map(({ name, args, id }, index) => ({
    name,
    args: JSON.stringify(args),
    index,
    type: 'tool_call_chunk' as const,
    ...(id !== undefined && { id }),
  }));
  const whole = new AIMessage({ ...fields, tool_calls: toolCalls });
  const chunk = new AIMessageChunk({ ...fields, tool_call_chunks: chunks });
  // Set behind their backs: the default message type of LangChain knows no usage.
  for (const message of [whole, chunk]) Object.assign(message, { usage_metadata: NO_TOKENS });
  return {
    whole: { text, generationInfo, message: whole },
    chunk: { text, generationInfo, message: chunk },
  };
}
