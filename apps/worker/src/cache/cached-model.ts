import type { InMemoryCache } from '@langchain/core/caches';
import type { CallbackManagerForLLMRun } from '@langchain/core/callbacks/manager';
import type { BaseChatModel } from '@langchain/core/language_models/chat_models';
import type { BaseMessage } from '@langchain/core/messages';
import type { ChatGenerationChunk, ChatResult } from '@langchain/core/outputs';
import { callKey } from './call-key.ts';
import { answerFrom, keepAnswer, type MessageClasses } from './kept-answer.ts';
import { runCache } from './run-cache.ts';

/** What one copy of LangChain makes chat models of. */
export interface ModelClasses extends MessageClasses {
  BaseChatModel: typeof BaseChatModel;
  InMemoryCache: typeof InMemoryCache;
}

type Generate = (
  messages: BaseMessage[],
  options: Record<string, unknown>,
  manager?: CallbackManagerForLLMRun,
) => Promise<ChatResult>;
type Stream = (...args: Parameters<Generate>) => AsyncGenerator<ChatGenerationChunk>;

const mended = new WeakSet<object>();

/**
 * Makes chat models of one copy of LangChain that were made with `cache: true` keep their answers in the cache of the run that
 * calls them.
 *
 * That flag means a cache in the process's memory to LangChain: one for all tenants, which gives a thread the same message
 * twice under one id, and which streams nothing of an answer that calls tools. So it is taken over before LangChain
 * looks; a model with a cache object of its own keeps it.
 */
export function cacheModelCalls(classes: ModelClasses): void {
  const prototype = classes.BaseChatModel.prototype;
  if (mended.has(prototype)) return;
  mended.add(prototype);
  const { generate, _streamIterator: streamIterator } = prototype;
  prototype.generate = function (...args) {
    takeOver(this, classes);
    return generate.apply(this, args);
  };
  prototype._streamIterator = function (...args) {
    takeOver(this, classes);
    return streamIterator.apply(this, args);
  };
}

/** Works on the instance: it may hide its state from any stand-in. */
function takeOver(model: BaseChatModel, classes: ModelClasses): void {
  if (!runCache() || !isShared(model, classes)) return;
  delete model.cache;
  const generate = model._generate.bind(model) as Generate;
  define(model, '_generate', (async (messages, options, manager) => {
    const call = callOf(model, messages, options, classes);
    const known = await call?.known();
    if (known) return { generations: [known.whole], llmOutput: {} };
    const result = await generate(messages, options, manager);
    const [only, ...others] = result.generations;
    if (only && others.length === 0) call?.keep(only);
    return result;
  }) satisfies Generate);
  // LangChain tells from the inherited method that a model cannot stream.
  if (model._streamResponseChunks === classes.BaseChatModel.prototype._streamResponseChunks) return;
  const stream = model._streamResponseChunks.bind(model) as Stream;
  define(model, '_streamResponseChunks', async function* (messages, options, manager) {
    const call = callOf(model, messages, options, classes);
    const known = await call?.known();
    if (known) {
      const chunk = known.chunk as ChatGenerationChunk;
      yield chunk;
      await manager?.handleLLMNewToken(chunk.text, undefined, undefined, undefined, undefined, { chunk });
      return;
    }
    let whole: ChatGenerationChunk | undefined;
    for await (const chunk of stream(messages, options, manager)) {
      whole = whole === undefined ? chunk : whole.concat(chunk);
      yield chunk;
    }
    if (whole) call?.keep(whole);
  } satisfies Stream);
}

/** Whether it has the one cache that LangChain gives to every model with `cache: true`. */
function isShared({ cache }: BaseChatModel, { InMemoryCache }: ModelClasses): boolean {
  const entries = (of: unknown) => (of as { cache?: unknown }).cache;
  return cache instanceof InMemoryCache && entries(cache) === entries(InMemoryCache.global());
}

/** @returns undefined when nothing is to be cached: outside of a run, or for a call that cannot be told from others */
function callOf(
  model: BaseChatModel,
  messages: BaseMessage[],
  options: Record<string, unknown>,
  classes: MessageClasses,
) {
  const cache = runCache();
  if (!cache) return undefined;
  let key: string;
  try {
    key = callKey(model, messages, options);
  } catch {
    return undefined;
  }
  return {
    known: async () => {
      const stored = await cache.read('model', key);
      try {
        return stored && answerFrom(stored, classes);
      } catch {
        // Not written by us; the model is asked.
        return undefined;
      }
    },
    keep: (generation: Parameters<typeof keepAnswer>[0]) => {
      const kept = keepAnswer(generation);
      if (kept) void cache.write('model', key, kept);
    },
  };
}

/** Not enumerable, so that serializers and tracers of LangChain see the model's own fields only. */
function define(model: object, key: string, value: unknown): void {
  Object.defineProperty(model, key, { value, writable: true, configurable: true, enumerable: false });
}
