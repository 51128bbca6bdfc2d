// The load test of message.k6.js without k6: `npx -y pnpm@12 load --help`.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { complain, say, survivesLostOutput, UserError } from '../../scripts/say.ts';
import { lengthOf, readPlan, stretched } from './plan.ts';
import { describe, reportOf } from './report.ts';
import { onStage } from './stage.ts';
import { sendUsers, type Target } from './users.ts';

const help = `Usage: npx -y pnpm@12 load [--url URL --key KEY] [--plan NAME] [--seconds N] [--workers N] [--json FILE]

  --url URL      the gateway to ask; without it, one is started here, with a Redis and workers
  --key KEY      its API key
  --plan NAME    ramp (to 100 and 200 users), light (10), medium (50) or heavy (100); default ramp
  --seconds N    how long the plan is to take; default 60. In full they take 16, 5, 10 and 15 minutes.
  --workers N    workers to start here; default 2
  --json FILE    where the figures go as well

Every user posts {"query": "What is the capital of France?"} to /message, and again a second after the answer. Fails
unless 99 % are answered 200 within 2 s, and p95 is below 2 s.`;

const stop = new AbortController();
const force = new AbortController();

function options(argv: string[]) {
  try {
    return parseArgs({
      args: argv[0] === '--' ? argv.slice(1) : argv,
      options: {
        url: { type: 'string' },
        key: { type: 'string' },
        plan: { type: 'string', default: 'ramp' },
        seconds: { type: 'string', default: '60' },
        workers: { type: 'string', default: '2' },
        json: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new UserError(`${(error as Error).message}\n\n${help}`);
  }
}

function wholeNumber(name: string, text: string, most: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > most) {
    throw new UserError(`${name} must be a whole number from 1 to ${most}`);
  }
  return value;
}

async function main(): Promise<void> {
  survivesLostOutput();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => (stop.signal.aborted ? force : stop).abort());
  }
  const given = options(process.argv.slice(2));
  if (given.help) return say(help);
  const plan = stretched(readPlan(given.plan), wholeNumber('--seconds', given.seconds, 3600) * 1000);
  const run = async (target: Target) => {
    say(`Plan ${given.plan}, ${Math.round(lengthOf(plan) / 1000)} s, against ${target.url}`);
    const began = performance.now();
    const samples = await sendUsers(plan, target, stop.signal);
    return reportOf(samples, performance.now() - began);
  };
  const workers = wholeNumber('--workers', given.workers, 64);
  const report =
    given.url === undefined
      ? await onStage({ workers, signal: stop.signal, force: force.signal }, run)
      : await run({ url: given.url.replace(/\/$/, ''), key: given.key });
  say(describe(report));
  if (given.json !== undefined) writeFileSync(given.json, `${JSON.stringify(report, undefined, 2)}\n`);
  if (!report.passed) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  process.exitCode = 1;
  if (error instanceof UserError) complain(error.message);
  else if (!stop.signal.aborted) complain(`${(error as Error).stack ?? error}`);
}
