import { createHash, randomBytes } from 'node:crypto';

/**
 * Every thread, with all that belongs to it, lives in one of these. Part of the stored format: a change
 * would look for old runs in the wrong place.
 */
export const PARTITIONS = 64;

/** The partition of a thread, from 0 to {@link PARTITIONS} − 1. */
export function partitionOfThread(threadId: string): number {
  return createHash('sha1').update(threadId).digest().readUInt8(0) % PARTITIONS;
}

/**
 * A new run id: a UUIDv7 whose last byte carries the partition in its low six bits, so that whoever holds a
 * run's id can find it without an index.
 */
export function newRunId(partition: number, nowMs: number = Date.now()): string {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(nowMs, 0, 6);
  bytes[6] = 0x70 | (bytes.readUInt8(6) & 0x0f);
  bytes[8] = 0x80 | (bytes.readUInt8(8) & 0x3f);
  bytes[15] = (bytes.readUInt8(15) & 0xc0) | partition;
  return uuid(bytes);
}

/** @returns undefined when it is not a UUID, and so no id of a run. */
export function partitionOfRun(runId: string): number | undefined {
  if (!/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(runId)) return undefined;
  return Number.parseInt(runId.slice(-2), 16) % PARTITIONS;
}

/**
 * A thread id that is the same for the same parts (a UUIDv8 of their hash), so that a retried request that
 * named no thread lands where the first one did.
 */
export function derivedThreadId(...parts: string[]): string {
  const bytes = createHash('sha256').update(JSON.stringify(parts)).digest().subarray(0, 16);
  bytes[6] = 0x80 | (bytes.readUInt8(6) & 0x0f);
  bytes[8] = 0x80 | (bytes.readUInt8(8) & 0x3f);
  return uuid(bytes);
}

function uuid(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
