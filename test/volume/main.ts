// The long forms of what grows: `npx -y pnpm@12 volume [--only finished,queue,thread,turns,clients] [--scale 0.1]`.
// Prints what things cost at first and with much behind them. No verdict: the tests have the limits.
import { parseArgs } from 'node:util';
import { buildApps } from '../../scripts/build.ts';
import { parts } from './parts.ts';

const say = (line: string) => void process.stdout.write(`${line}\n`);
const args = process.argv.slice(2);
const { values } = parseArgs({
  // `pnpm volume -- --only queue` hands the separator on.
  args: args[0] === '--' ? args.slice(1) : args,
  options: {
    only: { type: 'string', default: Object.keys(parts).join() },
    /** Of the sizes. */
    scale: { type: 'string', default: '1' },
  },
});
const scale = Number(values.scale);
const names = values.only.split(',');
const unknown = names.find((name) => !(name in parts));
if (!(scale > 0) || unknown !== undefined) {
  say(`usage: volume --only <of ${Object.keys(parts).join()}> --scale <more than 0>`);
  process.exit(2);
}
await buildApps();
for (const name of names)
  await parts[name]?.({ say, size: (full) => Math.max(100, Math.round(full * scale)) });
