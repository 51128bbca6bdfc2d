import { z } from 'zod';

/** Any JSON value, as `JSON.parse` gives it. */
export const json = z.json();
export type Json = z.infer<typeof json>;

/** A JSON object. */
export const jsonObject = z.record(z.string(), json);
export type JsonObject = z.infer<typeof jsonObject>;
