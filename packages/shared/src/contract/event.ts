import { z } from 'zod';
import { runError } from './error.ts';
import { runStatuses } from './run.ts';

/** First event of every attempt. */
export const metadataEvent = z.object({
  run_id: z.string(),
  attempt: z.int(),
  /** From the second attempt on: ids of messages whose streamed parts an earlier attempt left unfinished. */
  discard: z.array(z.string()).optional(),
  /** Which model answers, in words, when it is the built-in demo model. */
  model: z.string().optional(),
});
export type MetadataEvent = z.infer<typeof metadataEvent>;

/** Last event of every run; there is exactly one. */
export const endEvent = z.object({ status: z.enum(runStatuses), error: runError.optional() });
export type EndEvent = z.infer<typeof endEvent>;

/** What is known of a run when part of its stream cannot be given: sent by a reader, never stored. */
export const gapEvent = z.object({
  /** The id the client asked to continue from. */
  after: z.string(),
  /** First number that can still be given. */
  next: z.int(),
});
export type GapEvent = z.infer<typeof gapEvent>;

/**
 * One numbered entry of a run's stream.
 *
 * `name` is the SSE event name: `metadata`, a stream mode (sub-graphs append their namespace after `|`),
 * `error`, `end`, or the reader's `gap`. `data` is JSON text, passed through unparsed.
 */
export interface RunEvent {
  /** Counts from 1 without a hole. */
  seq: number;
  /** The lease under which it was written. */
  token: number;
  name: string;
  data: string;
}

/** A worker's event on its way to the stream, not numbered yet. */
export type NewEvent = Pick<RunEvent, 'name' | 'data'>;

/** The SSE id of an event. It carries the lease, so that a stream that was rolled back is noticed. */
export function eventId(event: Pick<RunEvent, 'seq' | 'token'>): string {
  return `${event.seq}-${event.token}`;
}

/** @returns undefined when it is no id of ours. */
export function parseEventId(id: string): { seq: number; token: number } | undefined {
  const match = /^(\d{1,15})-(\d{1,16})$/.exec(id);
  return match ? { seq: Number(match[1]), token: Number(match[2]) } : undefined;
}
