import { cp, mkdir, mkdtemp, readdir, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A user's project outside the repository, with a `node_modules` of its own. For tests. */
export interface TestProject {
  directory: string;
  /** Writes a file, in text or as JSON, and gives its absolute path. */
  write(path: string, content: string | object): Promise<string>;
  remove(): Promise<void>;
}

/** Packages that carry LangGraph's identity: these are copied, so that the project really has its own. */
const COPIED = ['@langchain/langgraph', '@langchain/core', '@langchain/langgraph-checkpoint'];

/** Makes a project with real second copies of LangGraph and its core; what these depend on is linked. */
export async function makeTestProject(): Promise<TestProject> {
  // The temporary folder may itself be a link, and modules are known by their real paths.
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'millrace-project-')));
  const modules = join(directory, 'node_modules');
  await mkdir(join(modules, '@langchain'), { recursive: true });
  const langgraph = await packageFolder(fileURLToPath(import.meta.resolve('@langchain/langgraph')));
  for (const name of COPIED) {
    const from = await realpath(join(dirname(dirname(langgraph)), name));
    await cp(from, join(modules, name), {
      recursive: true,
      filter: (path) => !/\.(map|d\.ts|d\.cts)$/.test(path),
    });
    await linkMissing(dirname(dirname(from)), modules);
  }
  return {
    directory,
    write: async (path, content) => {
      const file = join(directory, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
      return file;
    },
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}

/** The folder of the package that a file of its `dist` belongs to. */
async function packageFolder(file: string): Promise<string> {
  const real = await realpath(file);
  return real.slice(0, real.lastIndexOf(`${sep}dist${sep}`));
}

/** Links every package beside one in pnpm's store into a project, unless it is there. */
async function linkMissing(store: string, modules: string): Promise<void> {
  for (const entry of await readdir(store)) {
    const names = entry.startsWith('@')
      ? (await readdir(join(store, entry))).map((name) => join(entry, name))
      : [entry];
    for (const name of names) {
      await mkdir(dirname(join(modules, name)), { recursive: true });
      if (COPIED.includes(name)) continue;
      await symlink(await realpath(join(store, name)), join(modules, name)).catch(
        (error: NodeJS.ErrnoException) => {
          if (error.code !== 'EEXIST') throw error;
        },
      );
    }
  }
}
