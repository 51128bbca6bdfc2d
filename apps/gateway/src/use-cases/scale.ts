import { Refusal } from '@millrace/shared/contract/error';
import { scraped } from '@millrace/shared/metrics';
import type { Demand } from '@millrace/shared/queue';
import type { Pace } from '@millrace/shared/queue-pace';
import { queuesOf } from '../metrics.ts';
import type { Services } from '../services.ts';

/** What WORKER_CONCURRENCY is when nobody says otherwise. */
const USUAL_CONCURRENCY = 4;

export interface ScaleOptions {
  /** How long a run may wait for a worker. */
  targetWaitSeconds: number;
  /** Runs that one replica executes at once; as its workers have told when absent. */
  concurrency?: number | undefined;
  min: number;
  max: number;
}

/** How many workers a queue should have, by two formulas. */
export interface Scale {
  demand: Demand;
  concurrency: number;
  /** Undefined before any run has ended. */
  runSeconds: number | undefined;
  /** Enough that no run waits. */
  desired: number;
  /** Enough that none waits longer than it may. */
  desiredForWait: number;
}

/**
 * @throws Refusal `not_found` when no worker has told of the queue and nothing is in it, `unavailable` when Redis does
 *   not answer within three seconds
 */
export async function scaleOf(services: Services, queue: string, options: ScaleOptions): Promise<Scale> {
  const found = await scraped(() => read(services, queue), services.logger);
  if (!found) {
    throw new Refusal('unavailable', 'The storage is not available just now; try again', {
      retryAfterSeconds: 1,
    });
  }
  if (!found.demand) {
    throw new Refusal('not_found', `There is no queue "${queue}"; there are: ${found.known.join(', ')}`, {
      field: 'queue',
    });
  }
  const { demand, pace } = found;
  const concurrency = options.concurrency ?? pace.concurrency ?? USUAL_CONCURRENCY;
  const within = (slots: number) =>
    Math.min(options.max, Math.max(options.min, Math.ceil(slots / concurrency)));
  return {
    demand,
    concurrency,
    runSeconds: pace.runSeconds,
    desired: within(demand.demand),
    desiredForWait: within(slotsForWait(demand, pace.runSeconds, options.targetWaitSeconds)),
  };
}

/**
 * How many runs must execute at once for the last of those that wait now to begin within `waitSeconds`.
 *
 * By Little's law: `n` slots begin `n / runSeconds` runs in a second. Of the demand, `n` are in a slot at once; the rest
 * begins within `(demand - n) * runSeconds / n` seconds, on average. Never fewer than execute already, or scaling in
 * would take a worker from them; and as many as the demand while it is not known how long runs take.
 */
export function slotsForWait(
  { demand, active }: Pick<Demand, 'demand' | 'active'>,
  runSeconds: number | undefined,
  waitSeconds: number,
): number {
  if (runSeconds === undefined) return demand;
  const slots = runSeconds > 0 ? (demand * runSeconds) / (runSeconds + waitSeconds) : 0;
  // What is there at all needs a slot, however short it is.
  return Math.min(demand, Math.max(slots, active, 1));
}

async function read(
  services: Services,
  queue: string,
): Promise<{ known: string[]; demand?: undefined } | { demand: Demand; pace: Pace }> {
  const { store, doorbell } = services;
  const [published, unrung] = await Promise.all([queuesOf(services), store.outbox.unrung()]);
  const known = [...new Set([...published, ...unrung.keys()])];
  if (known.includes(queue)) {
    const [demand, pace] = await Promise.all([
      doorbell.demand(queue, unrung.get(queue) ?? 0),
      store.pace.read(queue),
    ]);
    return { demand, pace };
  }
  if (known.length > 0) return { known };
  // No worker has ever been here to tell which queues there are: the first one is needed to do so.
  const first = { waiting: 0, active: 0, unrung: 0, demand: 1, oldestWaitSeconds: 0 };
  return { demand: first, pace: { concurrency: undefined, runSeconds: undefined } };
}
