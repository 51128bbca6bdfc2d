/** A fault of the model's side that the run shall report as `model_error`. */
export interface ModelFault {
  /** One sentence without keys, prompts or the provider's own words. */
  message: string;
  /** Whether another try, later, could do better. */
  retryable: boolean;
  /** Milliseconds that the provider asks to wait, if it said so. */
  retryAfterMs?: number;
}

/** Thrown when a model stayed silent for too long, or an answer took too long as a whole. */
export class ModelTimeoutError extends Error {
  override readonly name = 'ModelTimeoutError';
}

/** Marks an error as one that came out of a model call, however plain it looks. */
const FROM_MODEL = Symbol.for('millrace.model-error');

/** Remembers on the error itself that a model call threw it, so that {@link modelFault} can tell later. */
export function markModelError(error: unknown): unknown {
  if (typeof error === 'object' && error !== null && Object.isExtensible(error)) {
    Object.defineProperty(error, FROM_MODEL, { value: true, configurable: true });
  }
  return error;
}

/** Whether an error (or what caused it) is a fault of the model's side: see {@link modelFault}. */
export function isModelFault(error: unknown): boolean {
  return modelFault(error) !== undefined;
}

/**
 * Recognises errors of a model call: a refused or rate-limited request, a server fault, a lost connection, a timeout.
 * Follows `cause`. Gives undefined for everything else, aborts by the caller included.
 *
 * A connection error or an HTTP status alone could come from a tool as well, so these count only on an error that a
 * resolved model threw, or that a provider's client made (it carries a request id, headers, or LangChain's code).
 */
export function modelFault(error: unknown): ModelFault | undefined {
  let ofModel = false;
  for (const link of causes(error)) {
    ofModel ||= FROM_MODEL in link || isClientError(link);
    if (!ofModel) continue;
    const fault = faultOf(link);
    if (fault !== undefined) return fault;
  }
  if (!ofModel || isAbort(error)) return undefined;
  return { message: 'The model call failed in an unexpected way.', retryable: false };
}

function faultOf(error: Record<PropertyKey, unknown>): ModelFault | undefined {
  if (error.name === 'ModelTimeoutError') return { message: String(error.message), retryable: true };
  if (error.name === 'TimeoutError' || error.name === 'APIConnectionTimeoutError') {
    return { message: 'The model did not answer in time.', retryable: true };
  }
  if (error.name === 'ContextOverflowError') {
    return { message: 'The conversation is too long for the model.', retryable: false };
  }
  if (error.name === 'SyntaxError') {
    return { message: "The model's answer could not be read.", retryable: false };
  }
  const status = statusOf(error);
  if (status !== undefined) return statusFault(status, error);
  const code = typeof error.code === 'string' ? error.code : '';
  if (code === 'ECONNREFUSED') {
    return { message: 'The model cannot be reached: connection refused.', retryable: true };
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return { message: 'The model cannot be reached: its host name does not resolve.', retryable: true };
  }
  if (/^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|UND_ERR)/.test(code)) {
    return { message: 'The connection to the model was lost.', retryable: true };
  }
  return undefined;
}

function statusFault(status: number, error: Record<PropertyKey, unknown>): ModelFault {
  if (status === 429) {
    if (isOutOfQuota(error)) {
      return { message: 'The model provider refuses: the quota is used up (429).', retryable: false };
    }
    const wait = retryAfterMs(error);
    return {
      message: 'The model provider is limiting requests (429).',
      retryable: true,
      ...(wait === undefined ? {} : { retryAfterMs: wait }),
    };
  }
  if (status === 408 || status >= 500) {
    const wait = retryAfterMs(error);
    return {
      message: `The model provider has a fault (${status}).`,
      retryable: true,
      ...(wait === undefined ? {} : { retryAfterMs: wait }),
    };
  }
  if (status === 401 || status === 403) {
    return { message: `The model provider refuses the API key (${status}).`, retryable: false };
  }
  if (status === 404)
    return { message: 'The model provider does not know this model (404).', retryable: false };
  return { message: `The model provider refuses the request (${status}).`, retryable: false };
}

function isOutOfQuota(error: Record<PropertyKey, unknown>): boolean {
  return error.code === 'insufficient_quota' || error.rateLimitType === 'stop';
}

/** What `Retry-After` (seconds or a date) or `retry-after-ms` says, in milliseconds from now. */
function retryAfterMs(error: Record<PropertyKey, unknown>): number | undefined {
  const response = error.response as { headers?: unknown } | undefined;
  const headers = error.headers ?? response?.headers;
  const exact = Number(headerOf(headers, 'retry-after-ms') ?? Number.NaN);
  if (Number.isFinite(exact) && exact >= 0) return exact;
  const value = headerOf(headers, 'retry-after');
  if (value === undefined) return undefined;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return Math.max(seconds, 0) * 1_000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(date - Date.now(), 0);
}

function headerOf(headers: unknown, name: string): string | undefined {
  if (typeof headers !== 'object' || headers === null) return undefined;
  const value =
    'get' in headers && typeof headers.get === 'function'
      ? (headers.get(name) as unknown)
      : (headers as Record<string, unknown>)[name];
  return typeof value === 'string' ? value : undefined;
}

/** Clients of OpenAI and Anthropic put request ids and headers on their errors; LangChain adds a code of its own. */
function isClientError(error: Record<PropertyKey, unknown>): boolean {
  const code = error.lc_error_code;
  if (typeof code === 'string') return code.startsWith('MODEL_');
  const made = (error as { constructor?: { name?: unknown } }).constructor?.name;
  if (made === 'APIConnectionError' || made === 'APIConnectionTimeoutError') return true;
  return typeof error.status === 'number' && ('requestID' in error || 'request_id' in error);
}

function statusOf(error: Record<PropertyKey, unknown>): number | undefined {
  const response = error.response as { status?: unknown } | undefined;
  return [error.status, error.statusCode, response?.status].find((value) => typeof value === 'number');
}

function isAbort(error: unknown): boolean {
  const shape = error as { name?: unknown; message?: unknown } | null;
  return shape?.name === 'AbortError' || shape?.name === 'ModelAbortError' || shape?.message === 'AbortError';
}

/** An error and what caused it, at most eight deep. */
function causes(error: unknown): Record<PropertyKey, unknown>[] {
  const links: Record<PropertyKey, unknown>[] = [];
  for (let link = error; typeof link === 'object' && link !== null && links.length < 8; ) {
    links.push(link as Record<PropertyKey, unknown>);
    link = (link as { cause?: unknown }).cause;
  }
  return links;
}
