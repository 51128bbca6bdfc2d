import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { build } from 'esbuild';
import { projectRoot } from './paths.ts';

const PACKAGES = ['apps/gateway', 'apps/worker', 'packages/checkpoint-redis', 'packages/shared'];

/**
 * Makes plain JavaScript of the apps and packages, a file of `dist/` for each of `src/`: a loader of TypeScript looks at every
 * module of every dependency too, and that is most of what a start takes. Run with {@link builtApp}.
 */
export async function buildApps(): Promise<void> {
  const files = (await Promise.all(PACKAGES.map(sourcesOf))).flat();
  await build({
    entryPoints: files.map((file) => ({
      in: join(projectRoot, file),
      out: file.replace('/src/', '/dist/').replace(/\.ts$/, ''),
    })),
    outdir: projectRoot,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    bundle: true,
    packages: 'external',
    sourcemap: 'linked',
    plugins: [
      {
        name: 'each file for itself',
        setup({ onResolve }) {
          onResolve({ filter: /^\.\.?\// }, ({ path }) => ({
            path: path.replace(/\.ts$/, '.js'),
            external: true,
          }));
        },
      },
    ],
  });
}

/** Arguments of node that run what {@link buildApps} made. */
export function builtApp(app: 'gateway' | 'worker'): string[] {
  return ['--conditions=built', join(projectRoot, `apps/${app}/dist/main.js`)];
}

async function sourcesOf(folder: string): Promise<string[]> {
  const source = join(projectRoot, folder, 'src');
  const entries = await readdir(source, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && /(?<!\.test)\.ts$/.test(entry.name))
    .map((entry) => relative(projectRoot, join(entry.parentPath, entry.name)));
}
