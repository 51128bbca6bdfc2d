import { z } from 'zod';

/**
 * Why a run failed. Stored with the run and shown to its owner on every face.
 *
 * - `graph_error`: a node, tool or the graph itself threw
 * - `model_error`: the model's provider refused, failed or did not answer in time
 * - `timeout`: the run used up its time limit
 * - `recursion_limit`: the run used up its steps
 * - `invalid_input`: the graph does not take this input
 * - `graph_changed`: the loaded graph cannot continue from this checkpoint
 * - `crash_budget`: the worker died at the same checkpoint too often
 * - `unknown_effect`: a tool that must not be repeated may have done its work, and a person gave the run up
 */
export const runErrorCodes = [
  'graph_error',
  'model_error',
  'timeout',
  'recursion_limit',
  'invalid_input',
  'graph_changed',
  'crash_budget',
  'unknown_effect',
] as const;

export const runError = z.object({
  code: z.enum(runErrorCodes),
  /** One sentence for a person. */
  message: z.string(),
  /** The class of the error that was thrown, for example `TypeError`. */
  name: z.string().optional(),
});
export type RunError = z.infer<typeof runError>;

/** What a request can be refused with; each has one HTTP status and one meaning on every face. */
export const refusalCodes = {
  invalid_request: 422,
  malformed_body: 400,
  body_too_large: 413,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  unknown_graph: 404,
  method_not_allowed: 405,
  /** What other servers have here; the message says where to go. */
  gone: 410,
  /** The same `Idempotency-Key` with another body. */
  idempotency_conflict: 422,
  /** The thread is busy, and the caller asked to be refused then. */
  thread_busy: 409,
  /** The thread exists, and the caller asked for a new one. */
  thread_exists: 409,
  /** The thread has gone on since, from where the request wants to. */
  thread_moved: 409,
  /** The question was answered, superseded, or never asked. */
  stale: 409,
  /** Several questions are open, and the answer does not say which it is for. */
  ambiguous_answer: 409,
  /** Not served, and never by asking again: stock clients repeat what is answered with a 5xx. */
  unsupported: 422,
  /** The tenant has as many runs that have not ended as it may have. */
  too_many_runs: 429,
  /** There is no room for more work just now, whoever asks. */
  overloaded: 503,
  /** No worker has ever published a graph. */
  no_catalog: 503,
  unavailable: 503,
} as const;
export type RefusalCode = keyof typeof refusalCodes;

/** A request that cannot be served, for a reason the caller can act on. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: RefusalCode;
  /** Where in the request the fault lies, as a JSON path; absent when it is no single field. */
  readonly field: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: RefusalCode,
    message: string,
    options: { field?: string; retryAfterSeconds?: number } = {},
  ) {
    super(message);
    this.code = code;
    this.field = options.field;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  get status(): (typeof refusalCodes)[RefusalCode] {
    return refusalCodes[this.code];
  }
}
