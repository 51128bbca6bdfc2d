import type { Sample } from './emulate.ts';

/** One run, in seconds of the cluster. */
export interface RunTimes {
  sentAt: number;
  /** From the submit to the first attempt. */
  wait: number;
  /** From the submit to the end. */
  total: number;
  attempts: number;
  succeeded: boolean;
}

/** What one way came to. */
export interface Outcome {
  way: string;
  /** When and on what machine, in words. */
  where: string;
  /** Of the machine, before and after. */
  load: [number, number];
  sent: number;
  runs: RunTimes[];
  samples: Sample[];
  /** Runs that one worker executes at once. */
  concurrency: number;
  killed: string[];
  died: string[];
  brokenOff: number;
  /** How long the workers that left took, in seconds of the cluster. */
  drains: number[];
  graceSeconds: number;
  /** Whether the workers came down to the least again. */
  atLeast: boolean;
}

/** Of numbers in any order; NaN of none. */
export function quantile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}

/** What must not happen where the way is ours; empty when all is well. */
export function problemsOf({ sent, runs, killed, died, atLeast }: Outcome): string[] {
  const problems: string[] = [];
  const lost = sent - runs.filter((run) => run.succeeded).length;
  if (lost > 0) problems.push(`${lost} runs did not succeed`);
  for (const one of killed) problems.push(`killed after its grace: ${one}`);
  for (const one of died) problems.push(`ended unasked: ${one}`);
  if (!atLeast) problems.push('the workers did not come down to the least');
  return problems;
}

/** The outcomes as a Markdown table, a row for each way, and where they were found. */
export function toTable(outcomes: Outcome[]): string {
  const head = [
    'way',
    'workers: first, most, last',
    'runs',
    'lost',
    'workers killed',
    'runs handed back',
    'steps broken off',
    'wait p50, p95, longest',
    'to the end p50, p95',
    'longest drain of its grace',
    'worker minutes',
    'load of the machine',
  ];
  const rows = outcomes.map((one) => {
    const { way, sent, runs, samples, killed, brokenOff, drains, graceSeconds } = one;
    const waits = runs.map((run) => run.wait);
    const totals = runs.map((run) => run.total);
    const replicas = samples.map((sample) => sample.wanted);
    return [
      way,
      `${replicas[0]}, ${Math.max(...replicas)}, ${replicas.at(-1)}`,
      `${sent}`,
      `${sent - runs.filter((run) => run.succeeded).length}`,
      `${killed.length}`,
      `${runs.reduce((sum, run) => sum + run.attempts - 1, 0)}`,
      `${brokenOff}`,
      seconds(quantile(waits, 0.5), quantile(waits, 0.95), Math.max(...waits)),
      seconds(quantile(totals, 0.5), quantile(totals, 0.95)),
      `${Math.round(Math.max(0, ...drains))} of ${graceSeconds} s`,
      `${Math.round(workerMinutes(samples))}`,
      one.load.map((value) => value.toFixed(1)).join(', '),
    ];
  });
  const where = [...new Set(outcomes.map((one) => one.where))];
  return `${markdown(head, rows)}\n\n${where.map((one) => `${one}.`).join('\n')}`;
}

function seconds(...values: number[]): string {
  return `${values.map((value) => Math.round(value)).join(', ')} s`;
}

/** Those that leave included: they hold their place until they are gone. */
function workerMinutes(samples: Sample[]): number {
  return samples.reduce((sum, { at, wanted, leaving }, i) => {
    const until = samples[i + 1]?.at ?? at;
    return sum + ((wanted + leaving) * (until - at)) / 60;
  }, 0);
}

function markdown(head: string[], rows: string[][]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`;
  return [line(head), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...rows.map(line)].join(
    '\n',
  );
}
