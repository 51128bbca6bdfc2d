import { mkdir, mkdtemp, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandResult, runCommand } from './run-command.ts';
import type { Say } from './say.ts';

const updateLimitMs = 120_000;
const downloadLimitMs = 240_000;
const unpackLimitMs = 60_000;

export interface DebianOptions {
  /** Where the unpacked package is kept for the next start, in `root`. */
  cacheDir: string;
  env: NodeJS.ProcessEnv;
  log: Say;
  signal?: AbortSignal | undefined;
}

export interface DebianWant {
  /** In words, as `a private Redis`. */
  what: string;
  /** The first of these that can be had and is of use is taken. */
  packages: string[];
  /** What its libraries need in turn; their own dependencies are not looked at. */
  libraries?: string[];
  /** Makes an unpacked one ready for use. Gives in a few words why it is of none, else undefined. */
  prepare: (root: string, name: string) => Promise<string | undefined>;
}

/**
 * Fetches one of the distribution's own packages and unpacks it into the project. Package lists and state are private, so
 * this works for an ordinary user and changes nothing on the host; sources, keys and proxies are the host's.
 *
 * @returns why there is none; undefined when it is there
 */
export async function unpackDebian(want: DebianWant, options: DebianOptions): Promise<string | undefined> {
  const { cacheDir, env, log, signal } = options;
  const probe = await runCommand('apt-get', ['--version'], { timeoutMs: 5000, env });
  const unpacker = await runCommand('dpkg-deb', ['--version'], { timeoutMs: 5000, env });
  if (probe.code !== 0 || unpacker.code !== 0) return 'there is no apt-get here';
  await mkdir(cacheDir, { recursive: true });
  // Built aside and moved into place at the end: a start that is cut short, or runs beside another, leaves no half.
  const work = await mkdtemp(join(cacheDir, 'fetch-'));
  const since = (await stat(work)).ctimeMs;
  try {
    const debs = join(work, 'debs');
    const root = join(work, 'root');
    for (const dir of ['state/lists/partial', 'cache/archives/partial', 'debs', 'root']) {
      await mkdir(join(work, dir), { recursive: true });
    }
    const config = join(work, 'apt.conf');
    await writeFile(config, aptConfig(work));
    const quiet = { ...env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
    const run = (file: string, args: string[], timeoutMs: number) =>
      runCommand(file, args, { timeoutMs, env: quiet, cwd: debs, signal });
    log(`Fetching the package lists for ${want.what} (nothing is installed on this machine) ...`);
    // The result is not judged: one broken source among several does not matter if the package can be had.
    const update = await run('apt-get', ['-c', config, 'update'], updateLimitMs);
    const download = (names: string[]) =>
      run('apt-get', ['-c', config, '--quiet', 'download', ...names], downloadLimitMs);
    let reason = '';
    for (const name of want.packages) {
      const got = await download([name]);
      const [deb] = (await readdir(debs)).filter((file) => file.startsWith(`${name}_`));
      if (got.code !== 0 || deb === undefined) {
        reason ||= `apt could not fetch ${name}: ${complaint(update, got)}`;
        continue;
      }
      const depends = await run('dpkg-deb', ['--field', deb, 'Depends'], 10_000);
      const libraries = [...libraryPackages(depends.stdout), ...(want.libraries ?? [])];
      log(`Unpacking ${[name, ...libraries].join(', ')} into ${join(cacheDir, 'root')} ...`);
      const rest = libraries.length > 0 ? await download(libraries) : got;
      if (rest.code !== 0) return `apt could not fetch its libraries: ${complaint(update, rest)}`;
      for (const file of await readdir(debs)) {
        const unpacked = await run('dpkg-deb', ['-x', file, root], unpackLimitMs);
        if (unpacked.code !== 0) return `${file} could not be unpacked: ${complaint(unpacked)}`;
      }
      const useless = await want.prepare(root, name);
      if (useless !== undefined) {
        reason = useless;
        await rm(root, { recursive: true, force: true });
        continue;
      }
      await putInPlace(root, join(cacheDir, 'root'), since);
      return undefined;
    }
    return reason;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** The libraries among a package's dependencies; the C library is the host's, or nothing would run at all, and scripts are for browsers. */
export function libraryPackages(depends: string): string[] {
  const first = depends.split(',').map((entry) => entry.trim().split(/[\s(|:]/)[0] ?? '');
  return first.filter((name) => name.startsWith('lib') && !/^lib(c\d|js-)/.test(name));
}

function aptConfig(work: string): string {
  return [
    `Dir::State "${work}/state";`,
    `Dir::State::lists "${work}/state/lists";`,
    'Dir::State::status "/var/lib/dpkg/status";',
    `Dir::Cache "${work}/cache";`,
    // As root, apt would change to a user that cannot enter the project.
    'APT::Sandbox::User "root";',
    'Debug::NoLocking "true";',
    'Acquire::Languages "none";',
    'Acquire::Retries "1";',
    'Acquire::http::Timeout "20";',
    'Acquire::https::Timeout "20";',
    'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";',
    'Acquire::IndexTargets::deb::CNF::DefaultEnabled "false";',
    // The host's own hooks would touch the host's own caches.
    '#clear APT::Update::Pre-Invoke;',
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    '#clear DPkg::Post-Invoke;',
    '',
  ].join('\n');
}

function complaint(...results: CommandResult[]): string {
  if (results.some((result) => result.timedOut)) return 'it took too long';
  const lines = results.flatMap((result) => result.stderr.split('\n')).map((line) => line.trim());
  return lines.find((line) => /^[EW]:/.test(line)) ?? lines.find(Boolean) ?? 'no reason given';
}

/** @param since when this was begun: what another has put there since then is as good, and may be in use */
export async function putInPlace(from: string, to: string, since: number): Promise<void> {
  try {
    await rename(from, to);
  } catch {
    if ((await stat(to)).ctimeMs >= since) return;
    // An old one does not run any more. Running servers keep what they have open.
    await rm(to, { recursive: true, force: true });
    await rename(from, to);
  }
}
