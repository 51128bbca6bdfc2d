import { setTimeout as sleep } from 'node:timers/promises';
import { CheckpointReader } from '@millrace/checkpoint-redis/reader';
import { hasEnded, type RunRecord } from '@millrace/shared/contract/run';
import { readEvents } from '@millrace/shared/event-reader';
import { Keys } from '@millrace/shared/keys';
import type { RedisConnection } from '@millrace/shared/redis';
import { RunStore } from '@millrace/shared/run-store';
import type { Fleet, FleetRedis } from './fleet.ts';
import { leftovers } from './leftovers.ts';
import type { Acknowledged } from './load.ts';

export interface CheckOptions {
  /** Steps of each graph, in order, that an undisturbed run calls once. */
  steps: Record<string, string[]>;
  /** What a run of a graph adds to its thread's log, where that is not each of its steps with the text. */
  logs?: Record<string, (text: string) => string[]>;
  /** How many calls of a graph one attempt can have begun and not stored, and so the next repeats; any number if absent. */
  atOnce?: Record<string, number>;
  /** Graphs that end with a question. */
  asking?: string[];
  /** How many calls beyond one a step may have had, over all runs: one for each fault that can hit a step. */
  repeats?: number;
  /** Redis has lost what it acknowledged, and with it which steps were done, and how often a run was tried. */
  wentBack?: boolean;
  tenant?: string;
}

/** What is wrong after a scenario; empty when all invariants held. */
export async function check(
  fleet: Fleet<FleetRedis>,
  acknowledged: Acknowledged[],
  options: CheckOptions,
): Promise<string[]> {
  const redis = fleet.connect();
  const checkpointRedis = fleet.checkpointRedis.connect();
  try {
    const keys = new Keys();
    const tenant = options.tenant ?? 'default';
    const store = new RunStore(redis, { keys });
    const violations: string[] = [];
    const attempts = new Map<string, number>();
    for (const run of acknowledged) {
      const record = await store.read.run(tenant, run.runId);
      attempts.set(run.runId, record?.attempt ?? 0);
      violations.push(...(await checkRun(redis, keys, run, record, options)));
    }
    violations.push(...checkSteps(fleet, acknowledged, attempts, options));
    violations.push(...(await checkThreads(checkpointRedis, keys, tenant, acknowledged, options)));
    violations.push(...(await checkLeftovers(redis, checkpointRedis, keys)));
    return violations;
  } finally {
    redis.disconnect();
    checkpointRedis.disconnect();
  }
}

/** Acknowledged means ended, as it should; one `end`, the last; numbers without a hole. */
async function checkRun(
  redis: RedisConnection,
  keys: Keys,
  { runId, graph }: Acknowledged,
  run: RunRecord | undefined,
  { asking = [] }: CheckOptions,
): Promise<string[]> {
  if (!run) return [`${runId}: acknowledged and gone`];
  const violations: string[] = [];
  const right = asking.includes(graph) ? 'interrupted' : 'succeeded';
  if (!hasEnded(run.status)) {
    violations.push(`${runId}: acknowledged, and still ${run.status}`);
  } else if (run.status !== right) {
    const why = run.error ? ` with ${run.error.code}: ${run.error.message}` : '';
    violations.push(`${runId}: ${run.status}${why}, not ${right}`);
  }
  const events = await readEvents(redis, keys, runId, 0, 100_000);
  const ends = events.filter((event) => event.name === 'end').length;
  if (hasEnded(run.status) && ends !== 1) violations.push(`${runId}: ${ends} end events`);
  if (ends > 0 && events.at(-1)?.name !== 'end') violations.push(`${runId}: events after the end`);
  const holes = events.some((event, i) => event.seq !== i + 1);
  if (holes) violations.push(`${runId}: event numbers ${events.map((event) => event.seq).join()}`);
  return violations;
}

/** Calls of steps beyond the first of each run. */
export function repeatedSteps(
  fleet: Fleet<FleetRedis>,
  acknowledged: Acknowledged[],
  steps: CheckOptions['steps'],
): number {
  const extra = ({ runId, graph }: Acknowledged) =>
    (steps[graph] ?? []).map((step) => Math.max(0, fleet.ledger.count(step, runId) - 1));
  return acknowledged.flatMap(extra).reduce((sum, one) => sum + one, 0);
}

/** Every step was called, none more often than there were attempts, nor all of them than the faults explain. */
function checkSteps(
  fleet: Fleet<FleetRedis>,
  acknowledged: Acknowledged[],
  attempts: Map<string, number>,
  { steps, atOnce, repeats = 0, wentBack = false }: CheckOptions,
): string[] {
  const violations: string[] = [];
  for (const run of acknowledged) {
    const { runId, graph } = run;
    const tries = attempts.get(runId) ?? 0;
    for (const step of steps[graph] ?? []) {
      const calls = fleet.ledger.count(step, runId);
      if (calls === 0) violations.push(`${runId}: step ${step} was never called`);
    }
    if (wentBack) continue;
    const again = repeatedSteps(fleet, [run], steps);
    const lost = (atOnce?.[graph] ?? Number.POSITIVE_INFINITY) * Math.max(0, tries - 1);
    // Infinity times no former attempt: nothing to repeat.
    if (again > (Number.isNaN(lost) ? 0 : lost)) {
      violations.push(
        `${runId}: ${again} calls of ${graph} repeated in ${tries} attempts: stored steps among them`,
      );
    }
  }
  const extra = repeatedSteps(fleet, acknowledged, steps);
  if (wentBack || extra <= repeats) return violations;
  violations.push(`${extra} repeated steps, where the faults explain ${repeats}`);
  // One by one, so that what was logged of them can be told.
  for (const run of acknowledged) {
    const again = repeatedSteps(fleet, [run], steps);
    if (again > 0)
      violations.push(`${run.runId}: ${again} of them, in ${attempts.get(run.runId) ?? 0} attempts`);
  }
  return violations;
}

/** A thread's state is what its runs give, one after the other in the order they were acknowledged. */
async function checkThreads(
  redis: RedisConnection,
  keys: Keys,
  tenant: string,
  acknowledged: Acknowledged[],
  { steps, logs }: CheckOptions,
): Promise<string[]> {
  const reader = new CheckpointReader(redis, { prefix: keys.checkpoints(), namespace: tenant });
  const expected = new Map<string, string[]>();
  for (const { thread, graph, text } of acknowledged) {
    const log = expected.get(thread) ?? [];
    expected.set(thread, log);
    log.push(...(logs?.[graph]?.(text) ?? (steps[graph] ?? []).map((step) => `${step}:${text}`)));
  }
  const violations: string[] = [];
  for (const [thread, log] of expected) {
    const found = ((await reader.head(thread))?.values.log ?? []) as string[];
    if (JSON.stringify(found) !== JSON.stringify(log)) {
      violations.push(`${thread}: has ${JSON.stringify(found)}, not ${JSON.stringify(log)}`);
    }
  }
  return violations;
}

/** The queue takes this long, some leases, to see that a job's worker is gone. */
const CLEAR_MS = 30_000;

/** Nothing is left that nobody will come for. What is just being cleared away is given the time. */
async function checkLeftovers(
  redis: RedisConnection,
  checkpointRedis: RedisConnection,
  keys: Keys,
): Promise<string[]> {
  for (const deadline = Date.now() + CLEAR_MS; ; await sleep(100)) {
    const left = await leftovers(redis, checkpointRedis, keys);
    if (left.length === 0) return [];
    if (Date.now() > deadline) return left.map((key) => `${key} is left, and nobody will come for it`);
  }
}
