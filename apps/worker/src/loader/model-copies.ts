import * as caches from '@langchain/core/caches';
import * as chatModels from '@langchain/core/language_models/chat_models';
import * as messages from '@langchain/core/messages';
import { cacheModelCalls } from '../cache/cached-model.ts';
import { copiesOf } from './package-copy.ts';

const CORE = '@langchain/core';

/** Makes chat models with `cache: true` use the cache of runs: those of the worker's own copy of LangChain, and a graph's. */
export async function mendModels(file?: string): Promise<void> {
  cacheModelCalls({ ...chatModels, ...caches, ...messages });
  if (file === undefined) return;
  // Each list has the builds in the same order.
  const [models, theirCaches, theirMessages] = await Promise.all([
    copiesOf<typeof chatModels>(CORE, './language_models/chat_models', file),
    copiesOf<typeof caches>(CORE, './caches', file),
    copiesOf<typeof messages>(CORE, './messages', file),
  ]);
  models.forEach((copy, i) => {
    const [cache, message] = [theirCaches[i], theirMessages[i]];
    if (cache && message) cacheModelCalls({ ...copy, ...cache, ...message });
  });
}
