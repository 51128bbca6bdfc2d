import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type DebianOptions, unpackDebian } from './debian-package.ts';
import { libraryDirs } from './redis-debian.ts';
import { isExecutable } from './redis-server-binary.ts';
import { runCommand } from './run-command.ts';

/** A program, and the environment in which it finds its libraries. */
interface Program {
  file: string;
  env: NodeJS.ProcessEnv;
}

/**
 * HAProxy: the machine's own, else the one an earlier call has unpacked, else the distribution's, unpacked into the project.
 *
 * @returns in a few words why there is none, else where it is
 */
export async function findHaproxy(options: DebianOptions): Promise<Program | { reason: string }> {
  const { cacheDir, env } = options;
  // Debian keeps it among what root runs.
  const dirs = [...(env.PATH ?? '').split(delimiter).filter(Boolean), '/usr/sbin'];
  const file = dirs.map((dir) => join(dir, 'haproxy')).find(isExecutable);
  if (file !== undefined) return { file, env };
  const root = join(cacheDir, 'root');
  if (existsSync(root)) return programIn(root, env);
  const reason = await unpackDebian(
    {
      what: 'HAProxy',
      packages: ['haproxy'],
      libraries: ['libopentracing1'],
      prepare: async (unpacked) => {
        const program = await programIn(unpacked, env);
        const tried = await runCommand(program.file, ['-v'], { timeoutMs: 10_000, env: program.env });
        return tried.code === 0 ? undefined : `it does not run here: ${tried.stderr.trim()}`;
      },
    },
    options,
  );
  return reason === undefined ? programIn(root, env) : { reason };
}

async function programIn(root: string, env: NodeJS.ProcessEnv): Promise<Program> {
  const libraries = (await libraryDirs(root)).join(delimiter);
  return { file: join(root, 'usr/sbin/haproxy'), env: { ...env, LD_LIBRARY_PATH: libraries } };
}
