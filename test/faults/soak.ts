// Load and faults for as long as you like: `npx -y pnpm@12 soak --minutes 10 --seed 7 [--quick] [--verbose]`. The same seed
// causes the same faults, in the same order and with the same pauses. Exits 1 when an invariant did not hold.
import { parseArgs } from 'node:util';
import { buildApps } from '../../scripts/build.ts';
import { soak } from './soak-run.ts';

const say = (line: string) => void process.stdout.write(`${line}\n`);
const args = process.argv.slice(2);
const { values } = parseArgs({
  // `pnpm soak -- --seed 7` hands the separator on.
  args: args[0] === '--' ? args.slice(1) : args,
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    /** Shorter phases and a smaller fleet. */
    quick: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
if (!(minutes > 0) || !Number.isSafeInteger(seed)) {
  say('usage: soak --minutes <more than 0> --seed <whole number> [--quick] [--verbose]');
  process.exit(2);
}

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort());

await buildApps();
say(`soak: ${minutes} min, seed ${seed}${values.quick ? ', quick' : ''}`);
const { runs, faults, violations } = await soak({
  seed,
  ms: minutes * 60_000,
  phaseMs: values.quick ? 15_000 : 30_000,
  gateways: values.quick ? 2 : 3,
  workers: 3,
  say,
  stop: stop.signal,
  verbose: values.verbose,
});
say(`${runs} runs, ${faults} faults, ${violations.length} violations, seed ${seed}`);
process.exitCode = violations.length > 0 ? 1 : 0;
