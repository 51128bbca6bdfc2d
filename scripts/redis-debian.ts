import { existsSync } from 'node:fs';
import { readdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type DebianOptions, unpackDebian } from './debian-package.ts';
import { type Found, programAt } from './redis-server-binary.ts';

// In Debian and Ubuntu the checker and the server are one program that goes by its own name.
const flavours = [
  { pack: 'redis-tools', checker: 'redis-check-rdb', server: 'redis-server' },
  { pack: 'valkey-tools', checker: 'valkey-check-rdb', server: 'valkey-server' },
];

/** The server an earlier start has unpacked. */
export async function findUnpacked({ cacheDir, env }: DebianOptions): Promise<Found> {
  const root = join(cacheDir, 'root');
  for (const { server } of flavours) {
    const file = join(root, 'usr/bin', server);
    if (existsSync(file)) return programIn(root, server, env);
  }
  return { reason: undefined };
}

/** Fetches the distribution's own server and unpacks it into the project. */
export async function fetchDebian(options: DebianOptions): Promise<Found> {
  const prepare = async (root: string, pack: string) => {
    const flavour = flavours.find((one) => one.pack === pack);
    if (!flavour) return `${pack} has no server`;
    const server = join(root, 'usr/bin', flavour.server);
    if (!existsSync(server)) await symlink(flavour.checker, server);
    const tried = await programIn(root, flavour.server, options.env);
    return 'reason' in tried ? (tried.reason ?? '').replace(`${root}/usr/bin/`, '') : undefined;
  };
  const packages = flavours.map((one) => one.pack);
  const reason = await unpackDebian({ what: 'a private Redis', packages, prepare }, options);
  return reason === undefined ? findUnpacked(options) : { reason };
}

async function programIn(root: string, server: string, env: NodeJS.ProcessEnv): Promise<Found> {
  const libraries = (await libraryDirs(root)).join(':');
  return programAt(join(root, 'usr/bin', server), { ...env, LD_LIBRARY_PATH: libraries });
}

/** Where an unpacked package has its libraries. */
export async function libraryDirs(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return [
    ...new Set(
      entries.filter((entry) => /^lib.*\.so(\.|$)/.test(entry.name)).map((entry) => entry.parentPath),
    ),
  ];
}
