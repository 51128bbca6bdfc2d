import type { Job } from '@millrace/shared/run-moves';
import type { Services } from '../services.ts';

/** A caller is waiting, and the sweeper will ring too. */
const PATIENCE_MS = 1_000;

/**
 * Tells the queue of a ready run. The outbox has the job, so a bell that cannot be rung now is rung by a sweeper: a
 * fault is logged and never the caller's.
 */
export async function ring(services: Services, job: Job | undefined): Promise<void> {
  if (!job) return;
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('the queue did not answer in time')), PATIENCE_MS);
  });
  const rung = services.doorbell.ring([job]);
  try {
    await Promise.race([rung, patience]);
  } catch (error) {
    rung.catch(() => undefined);
    services.logger.warn({ err: error, job: job.id }, 'accepted; the queue will be told later');
  } finally {
    clearTimeout(timer);
  }
}
