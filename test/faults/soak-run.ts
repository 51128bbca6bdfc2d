import { Fleet } from './fleet.ts';
import { type Fault, faultKinds, schedule, seeded } from './schedule.ts';
import { CONCURRENCY, type PhaseReport, soakPhase } from './soak-phase.ts';

const LEASE_SECONDS = 2;
/** Any other than the schedule's: what callers do must not change what happens to them. */
const CLIENT_SEED = 0x5eed;

export interface SoakOptions {
  seed: number;
  /** Ends with the phase in which this time is over. */
  ms: number;
  phaseMs: number;
  gateways: number;
  workers: number;
  say: (line: string) => void;
  stop: AbortSignal;
  /** Tell of each fault, too. */
  verbose?: boolean;
}

export interface SoakReport {
  runs: number;
  faults: number;
  violations: string[];
}

/** A fleet under load and faults, phase after phase, and what was wrong. */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { seed, say, stop } = options;
  const fleet = await Fleet.start({
    gateways: options.gateways,
    workers: options.workers,
    env: { LEASE_SECONDS: String(LEASE_SECONDS), WORKER_CONCURRENCY: String(CONCURRENCY) },
    // With `everysec` Redis may lose what it acknowledged, and then no loss could be laid to Millrace.
    redis: ['appendfsync always'],
  });
  const faults = schedule(seed, LEASE_SECONDS * 1000);
  const random = seeded(seed ^ CLIENT_SEED);
  const total: SoakReport = { runs: 0, faults: 0, violations: [] };
  // What stays wrong in Redis is found again by each later check.
  const known = new Set<string>();
  const until = Date.now() + options.ms;
  const onFault = options.verbose
    ? (fault: Fault) =>
        say(`  ${fault.kind} ${fault.lengthMs} ms${fault.midStep ? ', in the middle of steps' : ''}`)
    : undefined;
  try {
    for (let number = 1; Date.now() < until && !stop.aborted; number++) {
      const name = `phase-${number}`;
      const ms = Math.min(options.phaseMs, until - Date.now());
      const report = await soakPhase(fleet, { name, ms, faults, random, stop, ...(onFault && { onFault }) });
      const fresh = report.violations.filter((one) => !known.has(one));
      for (const one of fresh) known.add(one);
      say(lineOf(number, report, fresh.length));
      for (const one of fresh) say(`  ${one}`);
      for (const line of evidence(fleet, fresh)) say(`    ${line}`);
      forgetLogs(fleet);
      total.runs += report.runs;
      total.faults += report.faults.length;
      total.violations.push(...fresh);
    }
  } finally {
    const codes = await fleet.stop();
    const wrong = codes.filter((code) => code !== 0);
    if (wrong.length > 0) total.violations.push(`at the end processes left with ${wrong.join(', ')}`);
  }
  return total;
}

function lineOf(number: number, report: PhaseReport, violations: number): string {
  const kinds = faultKinds
    .map((kind) => [kind, report.faults.filter((fault) => fault.kind === kind).length] as const)
    .filter(([, count]) => count > 0)
    .map(([kind, count]) => `${kind} ${count}`);
  return [
    `phase ${number}: ${report.runs} runs`,
    `faults: ${kinds.join(', ') || 'none'}`,
    `repeats ${report.repeats} of ${report.explained} explained`,
    `settled in ${(report.settledMs / 1000).toFixed(1)} s`,
    `violations ${violations}`,
  ].join(' · ');
}

const EVIDENCE_RUNS = 5;

/** What the processes logged of the runs that something is wrong with. */
function evidence(fleet: Fleet, violations: string[]): string[] {
  const ids = new Set(violations.flatMap((one) => /^[0-9a-f-]{36}/.exec(one)?.[0] ?? []));
  const processes = [...fleet.gone, ...fleet.gateways, ...fleet.workers];
  return [...ids]
    .slice(0, EVIDENCE_RUNS)
    .flatMap((id) =>
      processes.flatMap(({ pid, log }) =>
        log.filter((line) => line.includes(id)).map((line) => `${pid} ${line}`),
      ),
    );
}

/** Hours of them would not fit. */
function forgetLogs(fleet: Fleet): void {
  fleet.gone.length = 0;
  for (const { log } of [...fleet.gateways, ...fleet.workers]) log.length = 0;
}
