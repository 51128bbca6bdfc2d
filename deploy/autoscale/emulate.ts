import { setTimeout as pause } from 'node:timers/promises';
import { hasEnded, type RunRecord } from '@millrace/shared/contract/run';
import type { Clock } from './clock.ts';
import type { Fleet, FleetState } from './fleet.ts';
import type { Loop } from './ways.ts';

const LOOK_MS = 100;

/** What was seen at a moment. */
export interface Sample extends FleetState {
  at: number;
  /** Ready and executing runs; undefined when it could not be read. */
  demand: number | undefined;
}

/** Lets loops scale a fleet, each in its own time, until the signal. What cannot be read is known to them as that. */
export async function scaleBy(
  loops: Loop[],
  fleet: Pick<Fleet, 'scale' | 'state'>,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(
    loops.map(async ({ everySeconds, read, decide }) => {
      while (!signal.aborted) {
        const value = await read().catch(() => undefined);
        if (signal.aborted) return;
        // At once, as the Kubernetes API would have it: nobody decides by a number that another has changed meanwhile.
        const current = fleet.state.wanted;
        const wanted = decide(clock.now(), current, value);
        if (wanted !== current) fleet.scale(wanted);
        await clock.sleep(everySeconds, signal).catch(() => undefined);
      }
    }),
  );
}

/** Looks every so many seconds, until the signal. */
export async function watch(
  read: () => Promise<number | undefined>,
  fleet: Fleet,
  everySeconds: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (;;) {
    // The last one is of what there is at the end.
    const last = signal.aborted;
    const demand = await read().catch(() => undefined);
    samples.push({ at: clock.now(), demand, ...fleet.state });
    if (last) return samples;
    await clock.sleep(everySeconds, signal).catch(() => undefined);
  }
}

/** The records of runs when all have ended; with those that have not, when that takes too long. */
export async function untilEnded(
  read: (runId: string) => Promise<RunRecord | undefined>,
  runIds: string[],
  { limitMs, signal }: { limitMs: number; signal: AbortSignal },
): Promise<RunRecord[]> {
  const ended = new Map<string, RunRecord>();
  for (const end = Date.now() + limitMs; ; ) {
    const open = runIds.filter((id) => !ended.has(id));
    const found = await Promise.all(open.map(read));
    for (const run of found) if (run && hasEnded(run.status)) ended.set(run.id, run);
    if (ended.size === runIds.length || Date.now() > end) return [...ended.values()];
    await pause(LOOK_MS, undefined, { signal });
  }
}

/** Resolves when no more workers are there than without demand, and none is on its way; false when that takes too long. */
export async function untilLeast(
  fleet: Fleet,
  least: number,
  { limitMs, signal }: { limitMs: number; signal: AbortSignal },
): Promise<boolean> {
  for (const end = Date.now() + limitMs; Date.now() < end; ) {
    const { wanted, ready, leaving } = fleet.state;
    if (wanted === least && ready === least && leaving === 0) return true;
    await pause(LOOK_MS, undefined, { signal });
  }
  return false;
}
