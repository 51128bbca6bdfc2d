import type { SerializerProtocol } from '@langchain/langgraph-checkpoint';

const NEWLINE = 0x0a;

/**
 * Bytes as they are stored: a JSON array of labels, a newline, then what the serializer made. The last label is
 * the serializer's type. JSON text has no raw newline, so any label may hold any character.
 */
export async function encodeValue(
  serde: SerializerProtocol,
  value: unknown,
  ...labels: string[]
): Promise<Buffer> {
  const [type, bytes] = await serde.dumpsTyped(value);
  return Buffer.concat([Buffer.from(`${JSON.stringify([...labels, type])}\n`), bytes]);
}

export interface EncodedValue {
  labels: string[];
  type: string;
  bytes: Buffer;
}

export function splitValue(stored: Buffer): EncodedValue {
  const end = stored.indexOf(NEWLINE);
  const labels = JSON.parse(stored.toString('utf8', 0, end)) as string[];
  const type = labels.pop() ?? '';
  return { labels, type, bytes: stored.subarray(end + 1) };
}

export async function decodeValue(serde: SerializerProtocol, stored: Buffer): Promise<unknown> {
  const { type, bytes } = splitValue(stored);
  return serde.loadsTyped(type, bytes);
}

/** How a stored write to a channel starts, so that Lua can tell its channel without parsing JSON. */
export function writePrefix(channel: string): string {
  return `[${JSON.stringify(channel)},`;
}

/** A field of the blob hash. */
export function blobField(channel: string, version: string | number): string {
  return `${channel}\0${version}`;
}

/** A field of a hash of pending writes. */
export function writeField(taskId: string, index: number): string {
  return `${taskId}\0${index}`;
}

/** Splits either field; the part after the last NUL never holds one. */
export function splitField(field: Buffer): [name: string, suffix: string] {
  const end = field.lastIndexOf(0);
  return [field.toString('utf8', 0, end), field.toString('utf8', end + 1)];
}
