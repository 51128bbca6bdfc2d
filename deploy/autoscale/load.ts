import type { Clock } from './clock.ts';

/** New runs per second, for so long. All in seconds of the cluster. */
export interface Stage {
  seconds: number;
  perSecond: number;
}

/** Quiet, rising, a burst, a steady load, falling, and quiet again. */
export const PLAN: Stage[] = [
  { seconds: 60, perSecond: 0 },
  { seconds: 120, perSecond: 0.05 },
  { seconds: 120, perSecond: 0.12 },
  { seconds: 120, perSecond: 0.2 },
  { seconds: 240, perSecond: 0.6 },
  { seconds: 600, perSecond: 0.3 },
  { seconds: 180, perSecond: 0.08 },
];

/** Steps of a run, and seconds of each: as agents that call a model have them. They take turns. */
const STEPS = [6, 4, 8, 5, 7];
const STEP_SECONDS = [10, 15, 12.5];

export interface Work {
  /** When it is sent. */
  at: number;
  steps: number;
  stepSeconds: number;
}

/** The runs of a plan, the same each time. */
export function workOf(plan: Stage[]): Work[] {
  const all: Work[] = [];
  let began = 0;
  let owed = 0;
  for (const { seconds, perSecond } of plan) {
    const due = owed + seconds * perSecond;
    for (let number = Math.ceil(owed); number < due; number++) {
      all.push({
        at: began + (number - owed) / perSecond,
        steps: STEPS[all.length % STEPS.length] ?? 1,
        stepSeconds: STEP_SECONDS[all.length % STEP_SECONDS.length] ?? 1,
      });
    }
    began += seconds;
    owed = due;
  }
  return all;
}

/** Sends them in time. Resolves to the ids of the runs, in order. */
export async function sendWork(
  all: Work[],
  gateway: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<string[]> {
  const sent: Promise<string>[] = [];
  for (const { at, steps, stepSeconds } of all) {
    await clock.sleep(Math.max(0, at - clock.now()), signal);
    const one = submit(gateway, { steps, stepMs: clock.toMs(stepSeconds) });
    one.catch(() => undefined);
    sent.push(one);
  }
  return Promise.all(sent);
}

async function submit(gateway: string, input: object): Promise<string> {
  const response = await fetch(`${gateway}/runs`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ assistant_id: 'agent', input }),
    signal: AbortSignal.timeout(30_000),
  });
  if (!response.ok) throw new Error(`the gateway refused a run: ${response.status} ${await response.text()}`);
  return ((await response.json()) as { run_id: string }).run_id;
}
