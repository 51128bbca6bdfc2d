// Measures what capacity is planned with: `npx -y pnpm@12 sizing --help`. See ../deploy/SIZING.md.
import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { complain, say, survivesLostOutput, UserError } from '../scripts/say.ts';
import { describeMachine, type Machine, machineFacts } from './machine.ts';
import { sizeCpu } from './sizing-cpu.ts';
import { sizeMemory } from './sizing-memory.ts';
import { type Sized, toTable } from './sizing-report.ts';
import { Stage } from './stage.ts';

const help = `Usage: npx -y pnpm@12 sizing [--rounds N] [--only cpu|memory] [--json FILE]

  --rounds N    how often everything is measured (default 5)
  --only PART   cpu or memory
  --json FILE   also writes the figures, each round's included

CPU is counted, not timed: what else the machine does changes these figures little. Needs Linux.`;

const parts = ['cpu', 'memory'];
const stop = new AbortController();
const force = new AbortController();

function options(argv: string[]) {
  try {
    return parseArgs({
      args: argv[0] === '--' ? argv.slice(1) : argv,
      options: {
        rounds: { type: 'string', default: '5' },
        only: { type: 'string' },
        json: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new UserError(`${(error as Error).message}\n\n${help}`);
  }
}

async function onStage<T>(use: (stage: Stage) => Promise<T>): Promise<T> {
  const stage = await Stage.open({ signal: stop.signal, force: force.signal });
  try {
    return await use(stage);
  } finally {
    await stage.close();
  }
}

function factsOf(stage: Stage): Promise<Machine> {
  const redis = new Redis(stage.redis.url);
  return machineFacts(redis).finally(() => redis.disconnect());
}

async function main(): Promise<void> {
  survivesLostOutput();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => (stop.signal.aborted ? force : stop).abort());
  }
  const { help: asked, only, json, rounds: given } = options(process.argv.slice(2));
  if (asked) return say(help);
  const rounds = Number(given);
  if (!Number.isInteger(rounds) || rounds < 1) throw new UserError('--rounds must be a whole number above 0');
  if (only !== undefined && !parts.includes(only)) throw new UserError(`--only takes ${parts.join(' or ')}`);
  if (process.platform !== 'linux') throw new UserError('what processes use can be read on Linux alone');
  const machine = await onStage(factsOf);
  say(`\n${describeMachine(machine)}\nMedians of ${rounds} rounds.`);
  const figures: Sized[] = [];
  if (only !== 'memory') {
    figures.push(...(await onStage((stage) => sizeCpu(stage, { rounds, signal: stop.signal }))));
    say(`\n${toTable('ms of CPU', figures)}\n`);
  }
  if (only !== 'cpu') {
    const memory: Sized[] = [];
    for (let round = 0; round < rounds; round++) {
      const found = await onStage((stage) => sizeMemory(stage, stop.signal));
      for (const one of found) {
        const known = memory.find(({ what }) => what === one.what);
        if (known) known.rounds.push(...one.rounds);
        else memory.push(one);
      }
    }
    say(`\n${toTable('bytes', memory)}\n`);
    figures.push(...memory);
  }
  const after = loadavg()[0] ?? 0;
  say(`load after: ${after.toFixed(2)}`);
  if (json !== undefined)
    writeFileSync(json, `${JSON.stringify({ machine, after, rounds, figures }, undefined, 2)}\n`);
}

try {
  await main();
} catch (error) {
  process.exitCode = 1;
  if (stop.signal.aborted) complain('Stopped.');
  else complain(error instanceof UserError ? error.message : `${(error as Error).stack ?? error}`);
}
