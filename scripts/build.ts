import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { projectRoot } from './paths.ts';

/** A graph may have the same copy of these as its worker. */
const SHARED_WITH_GRAPHS = ['@langchain/*', 'langchain', 'zod', 'tsx'];

/**
 * Makes one JavaScript file, and what it loads when it needs it, of each app and its dependencies: most of what a start takes is
 * finding and reading some thousand modules. For this checkout only: what is read beside the sources is read from there.
 */
export async function buildApps(): Promise<void> {
  await Promise.all([buildApp('gateway', []), buildApp('worker', SHARED_WITH_GRAPHS)]);
}

async function buildApp(app: 'gateway' | 'worker', external: string[]): Promise<void> {
  await build({
    entryPoints: [join(projectRoot, `apps/${app}/src/main.ts`)],
    outdir: join(projectRoot, `apps/${app}/dist`),
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
    logLevel: 'error',
  });
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
