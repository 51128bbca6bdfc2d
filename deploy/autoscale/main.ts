// Emulates autoscaling without a cluster: `npx -y pnpm@12 autoscale --help`.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { complain, say, survivesLostOutput, UserError } from '../../scripts/say.ts';
import { chart, scaleOf } from './chart.ts';
import { type Outcome, problemsOf, toTable } from './figures.ts';
import { play } from './play.ts';
import { readWay, wayNames } from './ways.ts';

const help = `Usage: npx -y pnpm@12 autoscale [--way NAME] [--factor N] [--json FILE] [--write]

  --way NAME    ${wayNames.join(', ')}; may be repeated; default all
  --factor N    how much faster than a cluster; default 10, at which each way takes about four minutes
  --json FILE   where the figures go as well; those of ways that are not played now stay there
  --write       puts the table and the charts of all that is known into deploy/autoscale

Real gateways, workers, Redis and Prometheus; the HPA, KEDA and the kubelet are emulated. Fails when one of our own ways
loses a run, has a worker killed, or does not come down again.`;

const stop = new AbortController();
const force = new AbortController();

function options(argv: string[]) {
  try {
    return parseArgs({
      args: argv[0] === '--' ? argv.slice(1) : argv,
      options: {
        way: { type: 'string', multiple: true, default: wayNames },
        factor: { type: 'string', default: '10' },
        json: { type: 'string' },
        write: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new UserError(`${(error as Error).message}\n\n${help}`);
  }
}

/** Between the marks of README.md, and the charts beside it. */
function write(outcomes: Outcome[]): void {
  const scale = scaleOf(outcomes);
  for (const outcome of outcomes) {
    writeFileSync(new URL(`${outcome.way}.svg`, import.meta.url), chart(outcome, outcome.way, scale));
  }
  const page = new URL('README.md', import.meta.url);
  const marks = /(<!-- figures -->\n)[\s\S]*(\n<!-- end of figures -->)/;
  const text = readFileSync(page, 'utf8');
  writeFileSync(
    page,
    text.replace(marks, (_, from, to) => `${from}\n${toTable(outcomes)}\n${to}`),
  );
}

async function main(): Promise<void> {
  survivesLostOutput();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => (stop.signal.aborted ? force : stop).abort());
  }
  const { way: names, factor: given, json, ...wanted } = options(process.argv.slice(2));
  if (wanted.help) return say(help);
  const factor = Number(given);
  if (!(factor >= 1 && factor <= 60)) throw new UserError('--factor must be a number from 1 to 60');
  const unknown = names.find((name) => !wayNames.includes(name));
  if (unknown !== undefined) throw new UserError(`--way takes ${wayNames.join(', ')}, not "${unknown}"`);
  const known = new Map<string, Outcome>();
  if (json !== undefined && existsSync(json)) {
    for (const one of JSON.parse(readFileSync(json, 'utf8')) as Outcome[]) known.set(one.way, one);
  }
  for (const name of names) {
    say(`\n${name}, ${factor} times as fast as a cluster`);
    const outcome = await play({
      way: await readWay(name),
      factor,
      signal: stop.signal,
      force: force.signal,
    });
    known.set(name, outcome);
    if (json !== undefined) writeFileSync(json, `${JSON.stringify([...known.values()])}\n`);
    const problems = problemsOf(outcome);
    for (const problem of problems) complain(problem);
    // What wait-only shows is what is wrong with it.
    if (problems.length > 0 && name !== 'wait-only') process.exitCode = 1;
  }
  const outcomes = wayNames.flatMap((name) => known.get(name) ?? []);
  say(`\n${toTable(outcomes)}`);
  if (wanted.write) write(outcomes);
}

try {
  await main();
} catch (error) {
  process.exitCode = 1;
  if (stop.signal.aborted) complain('Stopped.');
  else complain(error instanceof UserError ? error.message : `${(error as Error).stack ?? error}`);
}
