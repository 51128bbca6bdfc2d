/** What can happen to a fleet, in the words of the soak's report. */
export const faultKinds = [
  'worker killed',
  'worker leaving',
  'worker frozen',
  'gateway killed',
  'gateway leaving',
  'redis killed',
  'redis paused',
] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Fault {
  kind: FaultKind;
  /** Which of the processes: its place among them, from 0 up to but not 1. */
  victim: number;
  /** How long it lasts, where it lasts. */
  lengthMs: number;
  /** Steps are held in the middle while it happens, so that it is sure to hit some. */
  midStep: boolean;
  /** Quiet before it. */
  pauseMs: number;
}

/** Numbers from 0 up to but not 1; the same ones for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** From a lease's end on: a worker frozen for less is only slow. */
const FREEZE_LEASES = [1.2, 2.5] as const;
// Past a lease, too.
const REDIS_DOWN_MS = [0, 4_500] as const;
const REDIS_PAUSED_MS = [200, 5_000] as const;
const PAUSE_MS = [200, 2_500] as const;

/** Faults without end. Every kind comes once in each round, so that a short soak has them all. */
export function* schedule(seed: number, leaseMs: number): Generator<Fault, never> {
  const random = seeded(seed);
  const between = ([from, to]: readonly [number, number]) => Math.round(from + random() * (to - from));
  for (;;) {
    const round = [...faultKinds];
    while (round.length > 0) {
      const [kind] = round.splice(Math.floor(random() * round.length), 1);
      if (!kind) continue;
      // Always as many numbers, whatever the kind, so that a change of one kind leaves the others as they are.
      const [victim, frozen, down, paused, chance] = [
        random(),
        between([FREEZE_LEASES[0] * leaseMs, FREEZE_LEASES[1] * leaseMs]),
        between(REDIS_DOWN_MS),
        between(REDIS_PAUSED_MS),
        random(),
      ];
      const lengthMs =
        kind === 'worker frozen'
          ? frozen
          : kind === 'redis killed'
            ? down
            : kind === 'redis paused'
              ? paused
              : 0;
      yield { kind, victim, lengthMs, midStep: chance < 0.5, pauseMs: between(PAUSE_MS) };
    }
  }
}
