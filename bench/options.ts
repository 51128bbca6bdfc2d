import { parseArgs } from 'node:util';
import { UserError } from '../scripts/say.ts';

export const parts = ['submit', 'runs', 'checkpoints'] as const;
export type Part = (typeof parts)[number];

export interface BenchOptions {
  help: boolean;
  rounds: number;
  /** How long one contender is measured at a time, in milliseconds. */
  sliceMs: number;
  only: Part[];
  /** Where the figures go as JSON. */
  json: string | undefined;
  /** Where CPU profiles of the gateway and the worker go. */
  profile: string | undefined;
}

export const help = `Usage: npx -y pnpm@12 bench [--quick] [--rounds N] [--only PART] [--json FILE] [--profile DIR]

  --quick         short slices and 2 rounds: to see that it works, not for figures
  --rounds N      how often the contenders take turns (default 5)
  --only PART     ${parts.join(', ')}; may be repeated
  --json FILE     also writes the figures, each round's included
  --profile DIR   writes CPU profiles of the gateway and the worker (and so slows them down)
  --help          this text`;

export function parseOptions(argv: string[]): BenchOptions {
  // `pnpm bench -- --quick` hands the separator on.
  const values = parse(argv[0] === '--' ? argv.slice(1) : argv);
  const quick = values.quick ?? false;
  const rounds = Number(values.rounds ?? (quick ? 2 : 5));
  if (!Number.isInteger(rounds) || rounds < 1) throw new UserError('--rounds must be a whole number above 0');
  return {
    help: values.help ?? false,
    rounds,
    sliceMs: quick ? 500 : 1500,
    only: (values.only ?? parts).map(toPart),
    json: values.json,
    profile: values.profile,
  };
}

function toPart(text: string): Part {
  const part = parts.find((one) => one === text);
  if (!part) throw new UserError(`--only takes ${parts.join(', ')}, not "${text}"`);
  return part;
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        quick: { type: 'boolean' },
        rounds: { type: 'string' },
        only: { type: 'string', multiple: true },
        json: { type: 'string' },
        profile: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    throw new UserError(`${(error as Error).message}\n\n${help}`);
  }
}
