import type { BaseChatModel } from '@langchain/core/language_models/chat_models';
import type { BaseMessage } from '@langchain/core/messages';
import { convertToOpenAITool } from '@langchain/core/utils/function_calling';
import { renameIds } from './call-ids.ts';

/** Options of a call that say nothing to the model: how it is made, and what LangGraph's config carries along. */
const UNHEARD = new Set([
  'callbacks',
  'config',
  'context',
  'control',
  'executionInfo',
  'heartbeat',
  'interrupt',
  'promptIndex',
  'runtime',
  'serverInfo',
  'signal',
  'state',
  'store',
  'streamMode',
  'timeout',
  'toolCallId',
  'writer',
]);

/** Fields of a message that no provider is sent: they differ between calls that are otherwise equal. */
const UNSENT = new Set(['id', 'response_metadata', 'usage_metadata', 'artifact', 'tool_call_chunks']);

/** Of a message's `response_metadata`, what decides how its content is read. */
const READ_BY = ['output_version', 'model_provider'];

/**
 * All that decides a model's answer, as text: the model and its parameters, the options of the call with its tools, and the
 * messages. Ids of tools' calls are numbered: they only tie messages together, and differ from run to run.
 *
 * @throws what the model throws about its parameters
 */
export function callKey(
  model: BaseChatModel,
  messages: BaseMessage[],
  options: Record<string, unknown>,
): string {
  const heard = Object.fromEntries(Object.entries(options).filter(([name]) => !UNHEARD.has(name)));
  const { tools } = heard;
  const plain = messages.map(plainMessage);
  const numbers = new Map(toolCallIds(messages).map((id, number) => [id, `#${number}`]));
  return stableText([
    model.lc_id,
    model._llmType(),
    model._identifyingParams(),
    model.lc_kwargs,
    model.invocationParams(options as BaseChatModel['ParsedCallOptions']),
    Array.isArray(tools) ? { ...heard, tools: tools.map(plainTool) } : heard,
    renameIds(plain, numbers),
  ]);
}

function plainMessage(message: BaseMessage): unknown {
  const { type, data } = message.toDict();
  const metadata = message.response_metadata as Record<string, unknown>;
  return {
    type,
    ...Object.fromEntries(Object.entries(data).filter(([name]) => !UNSENT.has(name))),
    readBy: READ_BY.map((name) => metadata?.[name] ?? null),
  };
}

function toolCallIds(messages: BaseMessage[]): string[] {
  const ids = messages.flatMap((message) => {
    const { tool_calls: calls = [], tool_call_id: answered } = message as {
      tool_calls?: { id?: string }[];
      tool_call_id?: string;
    };
    return [...calls.map(({ id }) => id), answered];
  });
  return [...new Set(ids.filter((id) => id !== undefined))];
}

/** A tool of LangChain's has its schema in objects that do not become text; most providers have made JSON of it by now. */
function plainTool(tool: unknown): unknown {
  const isLangChains = typeof tool === 'object' && tool !== null && 'invoke' in tool && 'schema' in tool;
  return isLangChains ? convertToOpenAITool(tool as Parameters<typeof convertToOpenAITool>[0]) : tool;
}

/** JSON with the names of properties in order, whatever order they were set in; what JSON cannot say is left out. */
function stableText(value: unknown): string {
  const within = new Set<object>();
  const write = (one: unknown): string | undefined => {
    if (typeof one === 'bigint') return `${one}n`;
    if (typeof one !== 'object' || one === null) return JSON.stringify(one);
    if ('toJSON' in one && typeof one.toJSON === 'function') return JSON.stringify(one);
    if (within.has(one)) return '"circular"';
    within.add(one);
    const text = Array.isArray(one)
      ? `[${one.map((item) => write(item) ?? 'null').join(',')}]`
      : `{${Object.entries(one)
          .map(([name, item]) => [JSON.stringify(name), write(item)])
          .filter(([, item]) => item !== undefined)
          .map((pair) => pair.join(':'))
          .sort()
          .join(',')}}`;
    within.delete(one);
    return text;
  };
  return write(value) ?? '';
}
