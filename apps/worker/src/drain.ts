import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '@millrace/shared/logger';
import type { Worker as QueueWorker } from 'bullmq';
import type { LeaseKeeper } from './lease-keeper.ts';

/** Shares of the grace: first runs may finish, then they stop after their step, then they are aborted. */
const FINISH_SHARE = 0.4;
const STEP_SHARE = 0.85;

/** BullMQ waits for Redis before it closes; when Redis is away, that is for ever. */
const CLOSE_MS = 2_000;

/**
 * Empties a worker: no new runs, what can finishes, what cannot stops after its step and is handed back, what
 * outlasts even that is aborted and handed back. Resolves when no attempt is left.
 */
export async function drain(
  consumers: QueueWorker[],
  leases: LeaseKeeper,
  graceMs: number,
  logger: Logger,
): Promise<void> {
  logger.info({ attempts: leases.attempts.length, graceMs }, 'draining');
  let closed = false;
  const closing = Promise.all(consumers.map((consumer) => consumer.close())).then(
    () => {
      closed = true;
    },
    () => undefined,
  );
  const timers = [
    setTimeout(() => {
      for (const attempt of leases.attempts) attempt.drain();
    }, graceMs * FINISH_SHARE),
    setTimeout(() => {
      for (const attempt of leases.attempts) {
        logger.warn({ runId: attempt.runId }, 'a step outlasts the drain; aborting it');
        attempt.stop('drain');
      }
    }, graceMs * STEP_SHARE),
  ];
  do {
    await leases.idle();
    const patience = new AbortController();
    await Promise.race([
      closing,
      sleep(CLOSE_MS, undefined, { signal: patience.signal }).catch(() => undefined),
    ]);
    patience.abort();
    // A run that the queue handed out just before may have begun since.
  } while (!closed && leases.attempts.length > 0);
  timers.forEach(clearTimeout);
}
