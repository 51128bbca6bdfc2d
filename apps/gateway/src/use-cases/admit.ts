import type { RunRequest } from '@millrace/shared/contract/run';
import type { Admission } from '../capacity.ts';
import type { Services } from '../services.ts';

/** Runs of one request, let in together or not at all. */
export interface Batch {
  size: number;
  /** The first one that asks, asks for all. */
  first?: Promise<Admission>;
}

/**
 * Lets a request in while there is room. What helps accepted work to its end, or makes room, always gets in: answers,
 * edits of a thread's state, deletions.
 *
 * @throws Refusal `too_many_runs`, `overloaded`
 */
export async function admit(
  services: Services,
  tenant: string,
  request: RunRequest,
  batch?: Batch,
): Promise<Admission | undefined> {
  if (request.kind !== 'graph' || request.answers) return undefined;
  const { capacity } = services;
  // To be counted it must be written out, which the store does once more.
  const bytes = capacity.limits.queuedBytes ? Buffer.byteLength(JSON.stringify(request)) : 0;
  if (!batch) return capacity.admit(tenant, { bytes, runs: 1 });
  if (batch.first) {
    await batch.first;
    return capacity.take(tenant, bytes);
  }
  batch.first = capacity.admit(tenant, { bytes, runs: batch.size });
  return batch.first;
}
