import { z } from 'zod';
import { json } from './json.ts';

/** Where in a graph a call is made: a task, and the checkpoint it is of, from the root graph inwards. */
const place = z.object({ namespace: z.string(), checkpoint: z.string().optional(), task: z.string() });

/** A call of a tool that must not be repeated, as it is noted before it begins. */
export const effectCall = z.object({
  /** The same whenever the same task makes the same call again. */
  id: z.string(),
  /** The root checkpoint whose step makes the call. */
  root: z.string(),
  places: z.array(place).min(1),
  /** The root graph's node. */
  node: z.string(),
  tool: z.string(),
  toolCallId: z.string().optional(),
  /** As JSON text; cut when long. */
  args: z.string(),
});
export type EffectCall = z.infer<typeof effectCall>;

/** A call that has begun. Its outcome is unknown until there is an output or a decision. */
export const effect = effectCall.extend({
  /** How often it has begun. */
  times: z.int(),
  /** Milliseconds since the epoch, by Redis. */
  began: z.int(),
  /** What it returned, in the worker's encoding. */
  output: z.string().optional(),
  /** What a person has decided about a call that nobody knows the outcome of. */
  decision: z.enum(['repeat', 'skip']).optional(),
});
export type Effect = z.infer<typeof effect>;

/** How a person answers for a call that nobody knows the outcome of. */
export const effectAnswer = z.discriminatedUnion('action', [
  /** Call the tool again. */
  z.strictObject({ action: z.literal('repeat') }),
  /** Do not call it; `result` is what it is said to have returned. */
  z.strictObject({ action: z.literal('skip'), result: json }),
  /** End the run as failed. */
  z.strictObject({ action: z.literal('fail'), reason: z.string().optional() }),
]);
export type EffectAnswer = z.infer<typeof effectAnswer>;
