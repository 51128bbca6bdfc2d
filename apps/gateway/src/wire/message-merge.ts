import type { Json, JsonObject } from '@millrace/shared/contract/json';
import { parseJsonPrefix } from './json-prefix.ts';

/** A message, or a part of one, as plain JSON: `{type, id, content, …}`. */
export type WireMessage = JsonObject & { id: string };

/** Whether a message is a part of one: only streamed parts have this field. */
export function isChunk(message: JsonObject): boolean {
  return Array.isArray(message.tool_call_chunks) || String(message.type).endsWith('MessageChunk');
}

/**
 * Joins a part of a message to the parts before it, by the rules of LangChain's `AIMessageChunk.concat`, on plain
 * JSON: the gateway has no LangChain.
 */
export function mergeChunks(left: WireMessage, right: WireMessage): WireMessage {
  const merged: WireMessage = { ...left, ...given(right), id: left.id, type: left.type ?? 'ai' };
  merged.content = mergeContent(left.content, right.content);
  for (const field of ['additional_kwargs', 'response_metadata']) {
    merged[field] = mergeValues(left[field], right[field]) ?? {};
  }
  const usage = mergeValues(left.usage_metadata, right.usage_metadata);
  if (usage !== undefined) merged.usage_metadata = usage;
  const chunks = mergeLists(listOf(left.tool_call_chunks), listOf(right.tool_call_chunks));
  merged.tool_call_chunks = chunks;
  if (chunks.length > 0) Object.assign(merged, toolCallsOf(chunks));
  return merged;
}

function given(message: WireMessage): JsonObject {
  return Object.fromEntries(Object.entries(message).filter(([, value]) => value !== null));
}

function mergeContent(left: Json | undefined, right: Json | undefined): Json {
  if (right === undefined || right === null || right === '') return left ?? '';
  if (left === undefined || left === null || left === '') return right;
  if (typeof left === 'string' && typeof right === 'string') return left + right;
  return mergeLists(asBlocks(left), asBlocks(right));
}

function asBlocks(content: Json): Json[] {
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  return listOf(content);
}

function listOf(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : [];
}

/** Entries with the same `index` are one entry; so are those without index that have the same id. */
function mergeLists(left: Json[], right: Json[]): Json[] {
  const merged = [...left];
  for (const item of right) {
    const at = merged.findIndex((one) => isSame(one, item));
    const before = merged[at];
    if (before !== undefined) merged[at] = mergeValues(before, item) ?? null;
    else if (!(isObject(item) && item.text === '')) merged.push(item);
  }
  return merged;
}

function isSame(left: Json, right: Json): boolean {
  if (!isObject(left) || !isObject(right)) return false;
  const [a, b] = [left.index ?? undefined, right.index ?? undefined];
  const sameId = !left.id || !right.id || left.id === right.id;
  if (a !== undefined || b !== undefined) return a === b && sameId;
  return Boolean(left.id) && left.id === right.id;
}

/** Fields that name a thing and so are not continued. */
const NAMES = ['id', 'name', 'output_version', 'model_provider'];

function mergeValues(left: Json | undefined, right: Json | undefined, field = ''): Json | undefined {
  if (right === undefined || right === null) return left;
  if (left === undefined || left === null) return right;
  if (typeof left === 'string' && typeof right === 'string') {
    if (field === 'type') return left;
    return NAMES.includes(field) ? right || left : left + right;
  }
  if (Array.isArray(left) && Array.isArray(right)) return mergeLists(left, right);
  if (isObject(left) && isObject(right)) {
    const merged: JsonObject = { ...left };
    for (const [name, value] of Object.entries(right)) {
      // An index says which, not how many.
      merged[name] = name === 'index' ? value : (mergeValues(left[name], value, name) ?? null);
    }
    return merged;
  }
  if (typeof left === 'number' && typeof right === 'number') return left + right;
  return right;
}

/** What the collected parts of tool calls amount to so far. */
function toolCallsOf(chunks: Json[]): { tool_calls: Json[]; invalid_tool_calls: Json[] } {
  const calls: Json[] = [];
  const invalid: Json[] = [];
  for (const chunk of chunks.filter(isObject)) {
    const { name = '', id = null } = chunk;
    const text = typeof chunk.args === 'string' ? chunk.args : '';
    const args = text.trim() === '' ? {} : parseJsonPrefix(text);
    if (typeof args === 'object' && args !== null && !Array.isArray(args)) {
      calls.push({ name, args: args as JsonObject, id, type: 'tool_call' });
    } else {
      invalid.push({ name, args: text, id, error: 'Malformed args.', type: 'invalid_tool_call' });
    }
  }
  return { tool_calls: calls, invalid_tool_calls: invalid };
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
