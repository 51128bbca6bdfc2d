import { setTimeout as sleep } from 'node:timers/promises';
import { BaseChatModel } from '@langchain/core/language_models/chat_models';
import type { BaseMessage } from '@langchain/core/messages';
import { ModelTimeoutError, markModelError, modelFault } from './model-fault.ts';

/** How long and how often one call of a model may go on. */
export interface ModelLimits {
  /** Milliseconds without a sign of life: until the first token and between tokens; without streaming, for the answer. */
  silenceMs: number;
  /** Milliseconds for the whole call, tries and waits included. */
  totalMs: number;
  /** Tries after the first, for faults that may pass; 2 unless told. Never after a token has been given out. */
  retries?: number;
  /** Milliseconds before the first retry, doubled for each further one, plus up to as much again by chance; 500. */
  retryBaseMs?: number;
  /** The longest `Retry-After` that is waited out, in milliseconds; a longer one fails the call at once. 60000. */
  longestWaitMs?: number;
}

/** One streaming or generating method of a chat model, whatever it yields. */
type Call<T> = (messages: BaseMessage[], options: CallOptions, ...rest: unknown[]) => T;
type CallOptions = { signal?: AbortSignal };

const guarded = new WeakSet<object>();

/**
 * Puts retries and timeouts on a chat model of any provider, and marks the errors it throws so that `modelFault` knows
 * them. Works on the instance: `bindTools` and `withStructuredOutput` of most providers wrap that same instance, and
 * where `withConfig` makes a new one (ChatOpenAI), the new one gets the limits too. A wrapper model around it would
 * report each token twice, to its own callbacks and to the inner model's.
 * @returns the same instance.
 */
export function withLimits<T extends BaseChatModel>(model: T, limits: ModelLimits): T {
  if (guarded.has(model)) return model;
  guarded.add(model);

  const generate = model._generate.bind(model) as unknown as Call<Promise<unknown>>;
  define(model, '_generate', (messages: BaseMessage[], options: CallOptions, ...rest: unknown[]) =>
    last(
      limited(
        async function* (signal) {
          yield await generate(messages, { ...options, signal }, ...rest);
        },
        options.signal,
        limits,
      ),
    ),
  );
  for (const method of ['_streamResponseChunks', '_streamChatModelEvents'] as const) {
    // LangChain tells from the inherited method that a model cannot stream.
    if (model[method] === BaseChatModel.prototype[method]) continue;
    const stream = model[method].bind(model) as unknown as Call<AsyncIterable<unknown>>;
    define(model, method, (messages: BaseMessage[], options: CallOptions, ...rest: unknown[]) =>
      limited((signal) => stream(messages, { ...options, signal }, ...rest), options.signal, limits),
    );
  }
  const withConfig = model.withConfig.bind(model) as (config: unknown) => unknown;
  define(model, 'withConfig', (config: unknown) => {
    const next = withConfig(config);
    return isChatModel(next) ? withLimits(next, limits) : next;
  });
  return model;
}

/** Runs tries of `start` until one gives its first item, then passes on the rest of that one. */
async function* limited<T>(
  start: (signal: AbortSignal) => AsyncIterable<T>,
  callerSignal: AbortSignal | undefined,
  limits: ModelLimits,
): AsyncGenerator<T> {
  // Not AbortSignal.timeout: that would keep all of this in memory until the time is over, long after the answer.
  const clock = new AbortController();
  const timer = setTimeout(() => clock.abort(), limits.totalMs);
  const deadline = clock.signal;
  const retries = limits.retries ?? 2;
  try {
    for (let tries = 0; ; tries += 1) {
      let given = false;
      try {
        for await (const item of watched(start, callerSignal, deadline, limits)) {
          given = true;
          yield item;
        }
        return;
      } catch (error) {
        // The caller's own abort is no fault of the model.
        if (callerSignal?.aborted) throw callerSignal.reason;
        const wait = given || tries >= retries ? undefined : waitBefore(error, tries, limits);
        if (wait === undefined || deadline.aborted) throw markModelError(error);
        await pause(wait, callerSignal, deadline, limits);
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

/** One try, cut off by the caller, by the deadline of the whole call, or by its own silence. */
async function* watched<T>(
  start: (signal: AbortSignal) => AsyncIterable<T>,
  callerSignal: AbortSignal | undefined,
  deadline: AbortSignal,
  limits: ModelLimits,
): AsyncGenerator<T> {
  const silence = new AbortController();
  const signal = AbortSignal.any([silence.signal, deadline, ...(callerSignal ? [callerSignal] : [])]);
  let stop = () => {};
  const cut = new Promise<never>((_, reject) => {
    stop = () => {
      if (callerSignal?.aborted) reject(callerSignal.reason);
      else reject(deadline.aborted ? tookTooLong(limits) : wasSilent(limits));
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  // Not everything that is awaited listens to the signal (a client's own wait does not), so each step races with it.
  cut.catch(() => undefined);
  const source = start(signal)[Symbol.asyncIterator]();
  let finished = false;
  try {
    for (;;) {
      const timer = setTimeout(() => silence.abort(), limits.silenceMs);
      const step = await Promise.race([source.next(), cut]).finally(() => clearTimeout(timer));
      // Some clients end a stream quietly when their signal fires; that is not the end of an answer.
      if (signal.aborted) await cut;
      if (step.done) {
        finished = true;
        return;
      }
      yield step.value;
    }
  } finally {
    signal.removeEventListener('abort', stop);
    if (!finished) {
      silence.abort();
      // Waits for nothing: a source that hangs would never give this back.
      void source.return?.(undefined).catch(() => undefined);
    }
  }
}

/** Milliseconds to wait before the next try; undefined when trying again is no use. */
function waitBefore(error: unknown, tries: number, limits: ModelLimits): number | undefined {
  const fault = modelFault(markModelError(error));
  if (fault === undefined || !fault.retryable) return undefined;
  const backoff = (limits.retryBaseMs ?? 500) * 2 ** tries * (1 + Math.random());
  const asked = fault.retryAfterMs ?? 0;
  if (asked > Math.min(limits.longestWaitMs ?? 60_000, limits.totalMs)) return undefined;
  // What the provider asks for is a floor; the chance part keeps many workers from coming back at the same instant.
  return asked === 0 ? backoff : asked + backoff / 4;
}

async function pause(
  milliseconds: number,
  callerSignal: AbortSignal | undefined,
  deadline: AbortSignal,
  limits: ModelLimits,
): Promise<void> {
  const signal = AbortSignal.any([deadline, ...(callerSignal ? [callerSignal] : [])]);
  try {
    await sleep(milliseconds, undefined, { signal });
  } catch (error) {
    if (callerSignal?.aborted) throw callerSignal.reason;
    throw deadline.aborted ? markModelError(tookTooLong(limits)) : error;
  }
}

function wasSilent(limits: ModelLimits): ModelTimeoutError {
  return new ModelTimeoutError(`The model was silent for ${seconds(limits.silenceMs)}.`);
}

function tookTooLong(limits: ModelLimits): ModelTimeoutError {
  return new ModelTimeoutError(`The model took longer than ${seconds(limits.totalMs)} for one answer.`);
}

function seconds(milliseconds: number): string {
  return `${milliseconds / 1_000} s`;
}

async function last<T>(items: AsyncIterable<T>): Promise<T | undefined> {
  let found: T | undefined;
  for await (const item of items) found = item;
  return found;
}

/** Not enumerable, so that serializers and tracers of LangChain see the model's own fields only. */
function define(model: object, key: string, value: unknown): void {
  Object.defineProperty(model, key, { value, writable: true, configurable: true, enumerable: false });
}

function isChatModel(value: unknown): value is BaseChatModel {
  return (
    typeof value === 'object' &&
    value !== null &&
    '_generate' in value &&
    typeof value._generate === 'function'
  );
}
