import type { Logger } from '@millrace/shared/logger';
import type { Worker as QueueWorker } from 'bullmq';
import type { LeaseKeeper } from './lease-keeper.ts';

/** Shares of the grace: first runs may finish, then they stop after their step, then they are aborted. */
const FINISH_SHARE = 0.4;
const STEP_SHARE = 0.85;

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
  // Runs that a queue hands out while it is being paused are processed like the others.
  const paused = consumers.map((consumer) => consumer.pause(true));
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
  logger.info({ attempts: leases.attempts.length, graceMs }, 'draining');
  await Promise.all(paused);
  // Waits for the attempts at work.
  await Promise.all(consumers.map((consumer) => consumer.close()));
  timers.forEach(clearTimeout);
}
