import { setTimeout as sleep } from 'node:timers/promises';
import { hasEnded } from '@millrace/shared/contract/run';
import { Doorbell } from '@millrace/shared/queue';
import { RunStore } from '@millrace/shared/run-store';
import { type CheckOptions, check, repeatedSteps } from './checker.ts';
import type { Fleet } from './fleet.ts';
import { inject, replaceDead } from './inject.ts';
import type { Acknowledged } from './load.ts';
import type { Fault, FaultKind } from './schedule.ts';
import { SoakLoad } from './soak-load.ts';

/** Small, so that few repeats are explained. */
export const CONCURRENCY = 4;
/** Of `siblings`. */
const PARALLEL_STEPS = 3;
/**
 * Faults that may leave a step called and not stored. Not a worker that leaves: its steps fit in its grace. Not Redis either:
 * who still holds a lease when it comes back goes on.
 */
const REPEATING: FaultKind[] = ['worker killed', 'worker frozen'];

/** A job that the queue has lost is rung again after a minute; whatever takes longer is stuck. */
const SETTLE_MS = 120_000;
/** The queue takes this long, some leases, to see that a job's worker is gone. */
const QUIET_MS = 30_000;
const BATCH = 50;

const runs: Pick<CheckOptions, 'steps' | 'logs' | 'atOnce' | 'asking'> = {
  steps: {
    chain: ['a', 'b', 'c'],
    siblings: ['x', 'y', 'z', 'join'],
    echo: ['echo'],
    ask: ['ask'],
    // The step that asked begins anew with the answer.
    answer: ['ask', 'ask:answered', 'after'],
  },
  logs: { ask: () => [], answer: (text) => [`ask:yes-${text}`, `after:${text}`] },
  // The step that asks calls twice.
  atOnce: { chain: 1, siblings: 3, echo: 1, ask: 1, answer: 2 },
  asking: ['ask'],
};

export interface PhaseOptions {
  /** Begins the names of its threads. */
  name: string;
  ms: number;
  faults: Iterator<Fault>;
  random: () => number;
  /** Ends the soak: no more faults, and no waiting. */
  stop: AbortSignal;
  /** Told of each fault when it comes. */
  onFault?: (fault: Fault) => void;
}

export interface PhaseReport {
  runs: number;
  faults: Fault[];
  repeats: number;
  /** How many the faults explain. */
  explained: number;
  /** How long the runs at work took to end, once it was quiet. */
  settledMs: number;
  violations: string[];
}

/** Load and faults for a while, then quiet, then the check of what was acknowledged meanwhile. */
export async function soakPhase(fleet: Fleet, options: PhaseOptions): Promise<PhaseReport> {
  const { name, ms, random, stop } = options;
  await fleet.turnOver();
  const load = new SoakLoad(fleet, name, random);
  const { acknowledged, complaints } = load.client;
  const enough = new AbortController();
  const giveUp = new AbortController();
  const violations: string[] = [];
  const faults: Fault[] = [];

  const driving = load.run(AbortSignal.any([enough.signal, stop]), AbortSignal.any([giveUp.signal, stop]));
  const until = Date.now() + ms;
  try {
    while (Date.now() < until && !stop.aborted) {
      const fault = options.faults.next().value as Fault;
      await sleep(fault.pauseMs, undefined, { signal: stop }).catch(() => undefined);
      if (stop.aborted) break;
      options.onFault?.(fault);
      faults.push(fault);
      violations.push(...(await inject(fleet, fault)), ...(await replaceDead(fleet)));
    }
  } catch (error) {
    // A process that did not come back: nobody may wait for what is not there.
    giveUp.abort();
    await driving;
    throw error;
  } finally {
    enough.abort();
  }
  const from = Date.now();
  const giveUpTimer = setTimeout(() => giveUp.abort(), SETTLE_MS);
  await driving;
  clearTimeout(giveUpTimer);
  violations.push(...(await replaceDead(fleet)));
  if (!stop.aborted) {
    await settled(fleet, acknowledged, from + SETTLE_MS, stop);
    const settledMs = Date.now() - from;
    violations.push(...(await quiet(fleet, stop)));
    const explained =
      faults.filter(({ kind }) => REPEATING.includes(kind)).length * CONCURRENCY * PARALLEL_STEPS;
    violations.push(...complaints, ...(await check(fleet, acknowledged, { ...runs, repeats: explained })));
    const repeats = repeatedSteps(fleet, acknowledged, runs.steps);
    return { runs: acknowledged.length, faults, repeats, explained, settledMs, violations };
  }
  return { runs: acknowledged.length, faults, repeats: 0, explained: 0, settledMs: 0, violations };
}

/** Waits until every acknowledged run has ended. The check tells which have not. */
async function settled(
  fleet: Fleet,
  acknowledged: Acknowledged[],
  deadline: number,
  stop: AbortSignal,
): Promise<void> {
  const redis = fleet.connect();
  try {
    const { read } = new RunStore(redis, { keys: fleet.keys });
    let open = acknowledged;
    while (open.length > 0 && Date.now() < deadline && !stop.aborted) {
      const batch = open.slice(0, BATCH);
      const records = await Promise.all(batch.map(({ runId }) => read.run('default', runId)));
      // One that is gone will not come back.
      const left = batch.filter((_, i) => !hasEnded(records[i]?.status ?? 'failed'));
      if (left.length === batch.length) await sleep(100);
      open = [...open.slice(BATCH), ...left];
    }
  } finally {
    redis.disconnect();
  }
}

/** When all runs have ended nothing may be in the queue: autoscaling would keep workers for it. */
async function quiet(fleet: Fleet, stop: AbortSignal): Promise<string[]> {
  const redis = fleet.connect();
  const doorbell = new Doorbell(redis, new RunStore(redis, { keys: fleet.keys }));
  try {
    for (const deadline = Date.now() + QUIET_MS; ; await sleep(100)) {
      const { demand, waiting, active } = await doorbell.demand('default', 0);
      if (demand === 0 || stop.aborted) return [];
      if (Date.now() > deadline) return [`the queue still has ${waiting} waiting and ${active} active jobs`];
    }
  } finally {
    await doorbell.close();
    redis.disconnect();
  }
}
