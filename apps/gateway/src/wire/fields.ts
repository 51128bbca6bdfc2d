import type { Json, JsonObject } from '@millrace/shared/contract/json';
import { z } from 'zod';

/**
 * Ids that a caller chooses: any text that can be a key. Half a surrogate pair is no text, and nothing that
 * encodes URLs takes it.
 */
const chosenId = z
  .string()
  .min(1, 'give at least one character')
  .max(255, 'give at most 255 characters')
  .refine((text) => !/\p{Surrogate}/u.test(text), 'give well-formed Unicode');

export const threadId = chosenId;
export const checkpointId = chosenId;

/** Which checkpoint namespace (sub-graph); empty is the root graph. */
export const checkpointNs = z
  .string()
  .max(2048, 'give at most 2048 characters')
  .refine((text) => !/\p{Surrogate}/u.test(text), 'give well-formed Unicode');

/** A value out of a body that was parsed as JSON: nothing is left to check, and checking costs by the size. */
export const anyJson = z.custom<Json>();

export const object = z.custom<JsonObject>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'give an object',
);

/** A checkpoint as `GET …/state` and the client's history give it. */
export const checkpointRef = z.object({
  checkpoint_id: checkpointId.nullish(),
  checkpoint_ns: checkpointNs.nullish(),
});

/** How many entries of a list. */
export const limit = z.int().min(1, 'give at least 1').max(1000, 'give at most 1000');
export const offset = z.int().min(0, 'give 0 or more');
