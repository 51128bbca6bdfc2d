// Emulates autoscaling without a cluster: `npx -y pnpm@12 autoscale --help`.
import { readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { Keys } from '@millrace/shared/keys';
import { RunStore } from '@millrace/shared/run-store';
import { Redis } from 'ioredis';
import { describeMachine, machineFacts } from '../../bench/machine.ts';
import { complain, say, survivesLostOutput, UserError } from '../../scripts/say.ts';
import { chart, scaleOf } from './chart.ts';
import { Clock } from './clock.ts';
import { queryPrometheus } from './demand.ts';
import { scaleBy, untilEnded, untilLeast, watch } from './emulate.ts';
import { type Outcome, problemsOf, toTable } from './figures.ts';
import { PLAN, sendWork, workOf } from './load.ts';
import { onStage, type Stage } from './stage.ts';
import { readWay, type Way, wayNames } from './ways.ts';

const help = `Usage: npx -y pnpm@12 autoscale [--way NAME] [--factor N] [--write] [--json FILE]

  --way NAME    ${wayNames.join(', ')}; may be repeated; default all
  --factor N    how much faster than a cluster; default 10, at which each way takes about three minutes
  --write       puts the figures and charts into deploy/autoscale
  --json FILE   where the figures go as well

Real gateways, workers, Redis and Prometheus; the HPA, KEDA and the kubelet are emulated. Fails when one of our own ways
loses a run, has a worker killed, or does not come down again.`;

const stop = new AbortController();
const force = new AbortController();

/** Whom a gateway without keys takes everybody for. */
const TENANT = 'default';

/** How often the chart has a point, and how long is waited for an end, in seconds of the cluster. */
const SAMPLE_SECONDS = 10;
const LIMIT_SECONDS = 3600;

function options(argv: string[]) {
  try {
    return parseArgs({
      args: argv[0] === '--' ? argv.slice(1) : argv,
      options: {
        way: { type: 'string', multiple: true, default: wayNames },
        factor: { type: 'string', default: '10' },
        write: { type: 'boolean', default: false },
        json: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new UserError(`${(error as Error).message}\n\n${help}`);
  }
}

async function emulate(way: Way, factor: number): Promise<{ outcome: Outcome; machine: string }> {
  const signal = stop.signal;
  return onStage({ way, factor, signal, force: force.signal }, async (stage) => {
    const redis = new Redis(stage.redis.url);
    try {
      const machine = describeMachine(await machineFacts(redis));
      return { outcome: await play(way, factor, stage, redis), machine };
    } finally {
      redis.disconnect();
    }
  });
}

async function play(way: Way, factor: number, stage: Stage, redis: Redis): Promise<Outcome> {
  const { gateway, ops, prometheus, fleet } = stage;
  const { signal } = stop;
  const clock = new Clock(factor);
  const over = new AbortController();
  const during = AbortSignal.any([signal, over.signal]);
  const store = new RunStore(redis, { keys: new Keys('millrace') });
  const seen = async () =>
    (await queryPrometheus(prometheus, 'max(millrace_queue_demand{queue="default"})'))[0];
  fleet.scale(way.least);
  const scaling = scaleBy(way, { redis, gateway: ops, prometheus }, fleet, clock, during);
  const watching = watch(seen, fleet, SAMPLE_SECONDS, clock, during);
  const limit = { limitMs: clock.toMs(LIMIT_SECONDS), signal };
  try {
    const sent = await sendWork(workOf(PLAN), gateway, clock, signal);
    const records = await untilEnded((id) => store.read.run(TENANT, id), sent, limit);
    const atLeast = await untilLeast(fleet, way.least, limit);
    over.abort();
    const samples = await watching;
    return {
      way: way.name,
      sent: sent.length,
      runs: records.map(({ createdAt, startedAt = createdAt, endedAt = startedAt, attempt, status }) => ({
        sentAt: clock.at(createdAt),
        wait: ((startedAt - createdAt) * factor) / 1000,
        total: ((endedAt - createdAt) * factor) / 1000,
        attempts: attempt,
        succeeded: status === 'succeeded',
      })),
      samples,
      concurrency: Number(way.env.WORKER_CONCURRENCY),
      killed: fleet.killed,
      died: fleet.died,
      brokenOff: fleet.brokenOff,
      drains: fleet.drains.map((ms) => (ms * factor) / 1000),
      graceSeconds: way.graceSeconds,
      atLeast,
    };
  } finally {
    over.abort();
    await scaling;
  }
}

/** Between the marks of README.md, and the charts beside it. */
function write(outcomes: Outcome[], text: string): void {
  const scale = scaleOf(outcomes);
  for (const outcome of outcomes) {
    writeFileSync(new URL(`${outcome.way}.svg`, import.meta.url), chart(outcome, outcome.way, scale));
  }
  const page = new URL('README.md', import.meta.url);
  const marks = /(<!-- figures -->\n)[\s\S]*(\n<!-- end of figures -->)/;
  writeFileSync(
    page,
    readFileSync(page, 'utf8').replace(marks, (_, from, to) => `${from}\n${text}\n${to}`),
  );
}

async function main(): Promise<void> {
  survivesLostOutput();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => (stop.signal.aborted ? force : stop).abort());
  }
  const given = options(process.argv.slice(2));
  if (given.help) return say(help);
  const factor = Number(given.factor);
  if (!(factor >= 1 && factor <= 60)) throw new UserError('--factor must be a number from 1 to 60');
  const unknown = given.way.find((name) => !wayNames.includes(name));
  if (unknown !== undefined) throw new UserError(`--way takes ${wayNames.join(', ')}, not "${unknown}"`);
  const outcomes: Outcome[] = [];
  let machine = '';
  for (const name of given.way) {
    say(`\n${name}, ${factor} times as fast as a cluster`);
    const played = await emulate(await readWay(name), factor);
    machine ||= played.machine;
    outcomes.push(played.outcome);
    say(toTable([played.outcome]));
    const problems = problemsOf(played.outcome);
    for (const problem of problems) complain(problem);
    // What wait-only shows is what is wrong with it.
    if (problems.length > 0 && name !== 'wait-only') process.exitCode = 1;
  }
  const date = new Date().toISOString().slice(0, 10);
  const text = `${toTable(outcomes)}\n\n${date}, ${machine}, after: ${loadavg()[0]?.toFixed(2)}. ${factor} times as fast as a cluster.`;
  say(`\n${text}`);
  if (given.write) write(outcomes, text);
  if (given.json !== undefined)
    writeFileSync(given.json, `${JSON.stringify({ machine, factor, outcomes })}\n`);
}

try {
  await main();
} catch (error) {
  process.exitCode = 1;
  if (stop.signal.aborted) complain('Stopped.');
  else complain(error instanceof UserError ? error.message : `${(error as Error).stack ?? error}`);
}
