import type { JsonObject } from '@millrace/shared/contract/json';
import { ProtocolError } from '@modelcontextprotocol/server';
import type { Caller } from './tool-call.ts';

const HEADER_MISMATCH = -32020;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * Arguments that a tool's schema marks with `x-mcp-header` come in a header as well, which something on the way may have
 * routed by. The SDK compares them for servers that register their tools with it; ours come with each release of a worker.
 *
 * @throws ProtocolError when a header is missing, or is not what the arguments say
 */
export function checkParamHeaders(schema: object, args: JsonObject, caller: Caller): void {
  for (const { path, type, header } of markedIn(schema as Schema)) {
    const value = path.reduce<unknown>((at, key) => (at as JsonObject | null | undefined)?.[key], args);
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') continue;
    const name = `Mcp-Param-${header}`;
    const given = caller.headers.get(name);
    const fault = given === null ? 'is missing' : faultOf(given, value, type);
    if (fault === undefined) continue;
    caller.disagrees = true;
    const text = `The header ${name} ${fault}; the arguments have "${path.join('.')}"`;
    throw new ProtocolError(HEADER_MISMATCH, text, { header: name });
  }
}

interface Schema {
  type?: unknown;
  properties?: Record<string, Schema>;
  'x-mcp-header'?: unknown;
}

/** Marks count only on plain values, and only where nothing but `properties` leads to them. */
function* markedIn(
  { properties = {} }: Schema,
  before: string[] = [],
): Generator<{ path: string[]; type: unknown; header: string }> {
  for (const [key, schema] of Object.entries(properties)) {
    if (typeof schema !== 'object') continue;
    const path = [...before, key];
    const { type, 'x-mcp-header': header } = schema;
    const isPlain = type === 'string' || type === 'integer' || type === 'boolean';
    if (isPlain && typeof header === 'string' && TOKEN.test(header)) yield { path, type, header };
    yield* markedIn(schema, path);
  }
}

function faultOf(given: string, value: string | number | boolean, type: unknown): string | undefined {
  const text = decode(given);
  if (text === undefined) return 'is no Base64 of UTF-8';
  const isEqual = type === 'integer' && text.trim() !== '' ? Number(text) === value : text === String(value);
  return isEqual ? undefined : 'says something else';
}

/** `=?base64?…?=` carries what a header cannot; anything else is meant as it is. */
function decode(given: string): string | undefined {
  const encoded = /^=\?base64\?(.*)\?=$/.exec(given)?.[1];
  if (encoded === undefined) return given;
  if (!BASE64.test(encoded)) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(encoded, 'base64'));
  } catch {
    return undefined;
  }
}
