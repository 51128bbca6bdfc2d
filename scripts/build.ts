import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin, stop } from 'esbuild';
import { projectRoot } from './paths.ts';

/** A graph may have the same copy of these as its worker; and tsx loads files beside itself. */
const LEFT_OUTSIDE = ['@langchain/*', 'langchain', 'zod', 'tsx'];
/** Processes load chunks when they need them, also those of an earlier build. */
const KEPT_MS = 24 * 3600_000;

/**
 * Makes one JavaScript file, and what it loads when it needs it, of each app and its dependencies: most of what a start takes is
 * finding and reading some thousand modules. For this checkout only: what is read beside the sources is read from there.
 */
export async function buildApps(): Promise<void> {
  await Promise.all([buildApp('gateway', []), buildApp('worker', LEFT_OUTSIDE)]);
  await stop();
}

async function buildApp(app: 'gateway' | 'worker', external: string[]): Promise<void> {
  const outdir = join(projectRoot, `apps/${app}/dist`);
  const { outputFiles } = await build({
    entryPoints: [join(projectRoot, `apps/${app}/src/main.ts`)],
    outdir,
    write: false,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    // A CommonJS module that is imported when needed would be without its names.
    mainFields: ['module', 'main'],
    external,
    plugins: [keepsPlace],
    // For what is CommonJS.
    banner: {
      js: "import { createRequire as $requireOf } from 'node:module'; const require = $requireOf(import.meta.url);",
    },
    // ioredis names its errors by their classes.
    keepNames: true,
    logLevel: 'error',
  });
  await mkdir(outdir, { recursive: true });
  const isMain = (path: string) => Number(path.endsWith('main.js'));
  // Whole files, and what is imported before who imports it: others may be starting from here.
  for (const { path, contents } of outputFiles.sort((a, b) => isMain(a.path) - isMain(b.path))) {
    await writeFile(`${path}.${process.pid}`, contents);
    await rename(`${path}.${process.pid}`, path);
  }
  for (const name of await readdir(outdir)) {
    const file = join(outdir, name);
    const { mtimeMs } = await stat(file);
    if (Date.now() - mtimeMs > KEPT_MS) await rm(file, { force: true });
  }
}

/** Arguments of node that run what {@link buildApps} made. */
export function builtApp(app: 'gateway' | 'worker'): string[] {
  return [join(projectRoot, `apps/${app}/dist/main.js`)];
}

/** Our sources find the files beside them, wherever they have gone. */
const keepsPlace: Plugin = {
  name: 'keeps place',
  setup({ onLoad }) {
    onLoad({ filter: /[/\\](apps|packages)[/\\][^/\\]+[/\\]src[/\\].*\.ts$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      const contents = source
        .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href))
        .replaceAll('import.meta.filename', JSON.stringify(path))
        .replaceAll('import.meta.dirname', JSON.stringify(dirname(path)));
      return { contents, loader: 'ts' };
    });
  },
};
