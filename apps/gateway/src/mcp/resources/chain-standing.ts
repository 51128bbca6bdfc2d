import type { RunRecord } from '@millrace/shared/contract/run';
import type { Services } from '../../services.ts';

/** What has become of the questions of a run. */
export interface ChainStanding {
  /** The newest run of its chain, when that is another one. */
  followedBy: string | undefined;
  /** How its questions were closed without an answer. */
  closed: 'superseded' | 'cancelled' | undefined;
}

export async function chainStandingOf(services: Services, run: RunRecord): Promise<ChainStanding> {
  if (run.status !== 'interrupted') return { followedBy: undefined, closed: undefined };
  const chain = await services.store.read.chain(run.tenant, run.chain);
  if (chain && chain.newestRun !== run.id) return { followedBy: chain.newestRun, closed: undefined };
  const state = chain?.state;
  return {
    followedBy: undefined,
    closed: state === 'superseded' || state === 'cancelled' ? state : undefined,
  };
}
