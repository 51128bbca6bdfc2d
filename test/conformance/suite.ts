import { access, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { projectRoot } from '../../scripts/paths.ts';
import { runCommand } from '../../scripts/run-command.ts';
import { UserError } from '../../scripts/say.ts';

/** The suite, pinned: a later one may ask for more. */
const SUITE = '@modelcontextprotocol/conformance@0.2.0-alpha.12';
/** What runs the suite where this Node is too old for it. */
const NODE = 'node@24.21.0';
const OLDEST_NODE = 22;

export const revisions = ['2026-07-28', '2025-11-25'] as const;
export type Revision = (typeof revisions)[number];

export interface Check {
  id: string;
  status: 'SUCCESS' | 'FAILURE' | 'WARNING' | 'SKIPPED' | 'INFO';
  errorMessage?: string;
}

/** The checks of one scenario; none when it left no result. */
export interface ScenarioResult {
  revision: Revision;
  scenario: string;
  checks: Check[];
}

/** The official suite, and a Node that runs it. */
export class Suite {
  readonly #node: string;
  readonly #main: string;
  readonly #signal: AbortSignal | undefined;

  private constructor(home: string, signal: AbortSignal | undefined) {
    this.#node = isOldNode() ? join(home, 'node_modules/node/bin/node') : process.execPath;
    this.#main = join(home, 'node_modules/@modelcontextprotocol/conformance/dist/index.js');
    this.#signal = signal;
  }

  /** Finds the suite in the cache, or has npm install it there. */
  static async open(cacheDir: string, say: (line: string) => void, signal?: AbortSignal): Promise<Suite> {
    const packages = isOldNode() ? [SUITE, NODE] : [SUITE];
    const home = join(cacheDir, packages.join('+').replaceAll(/[^\w.+-]+/g, '-'));
    await install(packages, home, say, signal);
    return new Suite(home, signal);
  }

  /** The server scenarios of a revision, those included that it runs without scoring. */
  async scenarios(revision: Revision): Promise<string[]> {
    const { stdout } = await this.#run(['list', '--requirements', revision]);
    const required = /^Server scenarios.*\n((?: {2}- .*\n)+)/m.exec(stdout)?.[1] ?? '';
    const names = [...required.matchAll(/- (\S+)/g), ...stdout.matchAll(/- (\S+) \[server\]/g)];
    if (names.length === 0) throw new Error(`The suite has no scenarios for ${revision}: ${stdout}`);
    return names.map(([, name = '']) => name);
  }

  /** Runs one scenario, or all of a revision, one after the other. */
  async run(url: string, revision: Revision, outDir: string, only?: string): Promise<ScenarioResult[]> {
    const scenarios = only === undefined ? await this.scenarios(revision) : [only];
    const which =
      only === undefined
        ? ['--requirements', revision]
        : ['--scenario', only, '--spec-version', revision, '--force'];
    await this.#run(['server', '--url', url, ...which, '--output-dir', outDir]);
    const folders = await readdir(outDir).catch(() => []);
    return Promise.all(
      scenarios.map(async (scenario) => {
        // `server-<scenario>-<time>`
        const folder = folders.find((one) => one.replace(/-\d{4}-\d\d-\d\dT.*/, '') === `server-${scenario}`);
        const checks = folder ? await readChecks(join(outDir, folder, 'checks.json')) : [];
        return { revision, scenario, checks };
      }),
    );
  }

  /** Its exit code says less than what it writes. */
  #run(args: string[]) {
    return runCommand(this.#node, [this.#main, ...args], { timeoutMs: 240_000, signal: this.#signal });
  }
}

function isOldNode(): boolean {
  return Number(process.versions.node.split('.')[0]) < OLDEST_NODE;
}

async function readChecks(file: string): Promise<Check[]> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Check[];
  } catch {
    return [];
  }
}

/** Into a folder of its own first, so that what is there is whole, also when two install at once. */
async function install(
  packages: string[],
  home: string,
  say: (line: string) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (await exists(home)) return;
  say(`npm installs ${packages.join(' and ')} into ${home.replace(projectRoot, '')}`);
  const scratch = `${home}.${process.pid}`;
  await mkdir(scratch, { recursive: true });
  try {
    const args = ['install', '--prefix', scratch, '--no-audit', '--no-fund', '--loglevel=error', ...packages];
    const { code, stderr } = await runCommand('npm', args, { timeoutMs: 300_000, signal });
    if (code !== 0) throw new UserError(`npm could not install ${packages.join(' and ')}:\n${stderr}`);
    await mkdir(dirname(home), { recursive: true });
    await rename(scratch, home).catch(async (error) => {
      if (!(await exists(home))) throw error;
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
