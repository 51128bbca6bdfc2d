// Measures Millrace against what it is built on, in one run.
import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { Redis } from 'ioredis';
import { complain, say, survivesLostOutput, UserError } from '../scripts/say.ts';
import { measureCheckpoints } from './checkpoints.ts';
import { describeMachine, machineFacts } from './machine.ts';
import { IN_FLIGHT, type Plan } from './measure.ts';
import { help, type Part, parseOptions } from './options.ts';
import { type Comparison, toTable } from './report.ts';
import { measureRuns } from './runs.ts';
import { CONCURRENCY, Stage } from './stage.ts';
import { measureSubmit } from './submit.ts';
import { verdicts } from './verdict.ts';

const measures: Record<Part, (stage: Stage, plan: Plan) => Promise<Comparison[]>> = {
  submit: measureSubmit,
  runs: measureRuns,
  checkpoints: measureCheckpoints,
};

const stop = new AbortController();
const force = new AbortController();

async function main(): Promise<void> {
  survivesLostOutput();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => (stop.signal.aborted ? force : stop).abort());
  }
  const options = parseOptions(process.argv.slice(2));
  if (options.help) return say(help);
  const { rounds, sliceMs, only, json, profile } = options;
  const plan: Plan = { rounds, sliceMs, signal: stop.signal };
  const comparisons: Comparison[] = [];
  let machine: Awaited<ReturnType<typeof machineFacts>> | undefined;
  for (const part of only) {
    // Each part on a stage of its own, so that none has another's leftovers in its Redis.
    const stage = await Stage.open({ profile, signal: stop.signal, force: force.signal });
    try {
      if (!machine) {
        machine = await factsOf(stage);
        say(`\n${describeMachine(machine)}`);
        say(
          `Medians of ${rounds} rounds; throughput with ${IN_FLIGHT} in flight; ${CONCURRENCY} runs at once.\n`,
        );
      }
      for (const comparison of await measures[part](stage, plan)) {
        comparisons.push(comparison);
        say(`\n${toTable(comparison)}\n`);
      }
    } finally {
      await stage.close();
    }
  }
  for (const line of verdicts(comparisons)) say(line);
  say(`load after: ${loadavg()[0]?.toFixed(2)}`);
  if (json !== undefined) {
    writeFileSync(json, `${JSON.stringify({ machine, rounds, sliceMs, comparisons }, undefined, 2)}\n`);
  }
}

async function factsOf(stage: Stage) {
  const redis = new Redis(stage.redis.url);
  try {
    return await machineFacts(redis);
  } finally {
    redis.disconnect();
  }
}

try {
  await main();
} catch (error) {
  process.exitCode = 1;
  if (stop.signal.aborted) complain('Stopped.');
  else complain(error instanceof UserError ? error.message : `${(error as Error).stack ?? error}`);
}
