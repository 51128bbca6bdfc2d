import { type Lease, type RaisedFence, raiseFence } from './fence.ts';
import { type ThreadRef, threadKey } from './keys.ts';
import { loadScript, type RedisClient, runScript } from './scripts.ts';

export const REMOVE_THREAD = loadScript('remove-thread', 'guard', 'removal');

/** Checkpoints removed by one script, so that no other client waits long. */
export const CHUNK = 100;

/** As long as a writer could have been forgotten. */
export const FENCE_MS = 7 * 24 * 3600_000;

/**
 * Takes a thread with a new lease and removes everything of it except its fence, in bounded steps. Needs no saver, and so
 * none of LangGraph.
 *
 * @param options.fenceMs how long the fence outlives the data. Default: a week
 * @returns whether the lease was new enough; nothing was removed when it was not
 * @throws when a newer lease takes the thread meanwhile: an Error whose message begins with `FENCED`
 */
export async function removeThread(
  redis: RedisClient,
  thread: ThreadRef,
  lease: Lease,
  options: { fenceMs?: number } = {},
): Promise<RaisedFence> {
  const raised = await raiseFence(redis, thread, lease);
  if (!raised.raised) return raised;
  // The first write under this lease, again and again.
  const args = [String(lease.token), lease.nonce, 1, 0, CHUNK, options.fenceMs ?? FENCE_MS];
  while ((await runScript(redis, REMOVE_THREAD, threadKey(thread), args)) === 1);
  return raised;
}
