import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type DebianOptions, unpackDebian } from './debian-package.ts';
import { isExecutable } from './redis-server-binary.ts';

/**
 * A program of Prometheus (`promtool`, `prometheus`): the machine's own, else the one an earlier call has unpacked, else
 * the distribution's, unpacked into the project.
 *
 * @returns its file, or in a few words why there is none
 */
export async function findPrometheus(
  name: string,
  options: DebianOptions,
): Promise<{ file: string } | { reason: string }> {
  const dirs = (options.env.PATH ?? '').split(delimiter).filter(Boolean);
  const unpacked = join(options.cacheDir, 'root/usr/bin');
  const file = [...dirs, unpacked].map((dir) => join(dir, name)).find(isExecutable);
  if (file !== undefined) return { file };
  const want = {
    what: 'Prometheus',
    packages: ['prometheus'],
    prepare: async (root: string) =>
      existsSync(join(root, 'usr/bin', name)) ? undefined : `the package has no ${name}`,
  };
  const reason = await unpackDebian(want, options);
  return reason === undefined ? { file: join(unpacked, name) } : { reason };
}
