import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type DebianOptions, unpackDebian } from './debian-package.ts';
import { runCommand } from './run-command.ts';

// The one for programs with threads.
const LIBRARY = 'faketime/libfaketimeMT.so.1';

const HOUR_MS = 3_600_000;

/** Where the library is that shifts a process's clock, or in a few words why there is none. */
export type FoundLibrary = { file: string } | { reason: string };

/** The system's libfaketime, else the one an earlier call has unpacked, else the distribution's, unpacked into the project. */
export async function findLibfaketime(options: DebianOptions): Promise<FoundLibrary> {
  if (process.platform !== 'linux') return { reason: 'libfaketime is looked for on Linux only' };
  const ownRoot = join(options.cacheDir, 'root');
  for (const root of ['/', ownRoot]) {
    const file = await libraryIn(root);
    if (file !== undefined && (await shifts(file, options.env))) return { file };
  }
  const reason = await unpackDebian(
    {
      what: 'libfaketime',
      packages: ['libfaketime'],
      prepare: async (root) => {
        const file = await libraryIn(root);
        if (file === undefined) return `the package has no ${LIBRARY}`;
        return (await shifts(file, options.env)) ? undefined : 'it does not shift the clock of this Node';
      },
    },
    options,
  );
  const file = reason === undefined ? await libraryIn(ownRoot) : undefined;
  return file === undefined ? { reason: reason ?? `the package has no ${LIBRARY}` } : { file };
}

/** Environment of a process whose clock is off by so many seconds. Timers go by the monotonic clock, which stays right. */
export function clockOff(file: string, seconds: number): Record<string, string> {
  return {
    LD_PRELOAD: file,
    FAKETIME: seconds < 0 ? String(seconds) : `+${seconds}`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    // Its name before 0.9.9.
    DONT_FAKE_MONOTONIC: '1',
    NO_FAKE_STAT: '1',
  };
}

async function libraryIn(root: string): Promise<string | undefined> {
  const lib = join(root, 'usr/lib');
  const names = existsSync(lib) ? await readdir(lib) : [];
  const dirs = [lib, join(root, 'usr/lib64'), ...names.map((name) => join(lib, name))];
  return dirs.map((dir) => join(dir, LIBRARY)).find((file) => existsSync(file));
}

/** Whether a Node with this library has another time, and the right pace. */
async function shifts(file: string, env: NodeJS.ProcessEnv): Promise<boolean> {
  const text = 'console.log(Date.now(), Math.round(process.uptime()))';
  const shifted = { ...env, ...clockOff(file, HOUR_MS / 1000) };
  const said = await runCommand(process.execPath, ['-e', text], { timeoutMs: 30_000, env: shifted });
  const [now = 0, uptime = Number.NaN] = said.stdout.split(' ').map(Number);
  return said.code === 0 && Math.abs(now - Date.now() - HOUR_MS) < HOUR_MS / 2 && uptime < HOUR_MS / 2000;
}
