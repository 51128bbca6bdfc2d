import { setTimeout as sleep } from 'node:timers/promises';
import { awaitAllCallbacks } from '@langchain/core/callbacks/promises';

const FLUSH_MS = 2_000;

/** Sends what LangChain's own tracer still holds, for two seconds at most. */
export async function flushLangSmith(): Promise<void> {
  const enough = new AbortController();
  await Promise.race([
    awaitAllCallbacks(),
    sleep(FLUSH_MS, undefined, { signal: enough.signal }).catch(() => undefined),
  ]);
  enough.abort();
}
