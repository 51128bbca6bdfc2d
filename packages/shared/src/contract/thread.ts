import { z } from 'zod';
import { jsonObject } from './json.ts';
import { question } from './run.ts';

export const threadStatuses = ['idle', 'busy', 'interrupted', 'error'] as const;
export type ThreadStatus = (typeof threadStatuses)[number];

/** A conversation as Redis holds it. Times are milliseconds since the epoch, by the clock of Redis. */
export const threadRecord = z.object({
  id: z.string(),
  tenant: z.string(),
  status: z.enum(threadStatuses),
  createdAt: z.int(),
  updatedAt: z.int(),
  metadata: jsonObject,
  /** The chain whose questions are open. */
  parked: z.string().optional(),
  /** Made for one run without a thread, and deleted with it. */
  throwaway: z.boolean(),
});
export type ThreadRecord = z.infer<typeof threadRecord>;

export const chainStates = ['open', 'parked', 'superseded', 'cancelled', 'ended'] as const;
export type ChainState = (typeof chainStates)[number];

/** A run and the runs that answer its questions. */
export const chainRecord = z.object({
  /** The id of its first run. */
  id: z.string(),
  tenant: z.string(),
  thread: z.string(),
  state: z.enum(chainStates),
  newestRun: z.string(),
  /** Open while `parked`. */
  questions: z.array(question),
  /** Of these questions: answers are kept for them until the others have theirs. */
  kept: z.array(z.string()),
  /** Absent in what earlier releases stored. */
  createdAt: z.int().optional(),
  /** When its questions were closed without an answer. */
  updatedAt: z.int().optional(),
});
export type ChainRecord = z.infer<typeof chainRecord>;
