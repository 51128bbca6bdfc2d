import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** A package as one project has it. */
interface Package {
  version: string;
  /** Absolute paths of an entry point's two builds. */
  esm: string | undefined;
  cjs: string | undefined;
}

/**
 * Finds a package as a file's own `node_modules` lead to it. @param entry which of its entry points.
 * @returns undefined when it is not there
 */
export async function findPackage(name: string, file: string, entry = '.'): Promise<Package | undefined> {
  const require = createRequire(file);
  // A project may get it through another only, which under pnpm hides it from the project itself.
  const through = ['langchain', '@langchain/langgraph'].map((other) =>
    requireOf(require, `${other}/package.json`),
  );
  for (const from of [require, ...through]) {
    const path = from && resolve(from, `${name}/package.json`);
    if (path === undefined) continue;
    const { version, exports } = JSON.parse(await readFile(path, 'utf8')) as {
      version: string;
      exports?: Record<string, { import?: unknown; require?: unknown }>;
    };
    const directory = dirname(path);
    const builds = exports?.[entry];
    return {
      version,
      esm: target(directory, builds?.import),
      cjs: target(directory, builds?.require),
    };
  }
  return undefined;
}

function requireOf(require: NodeJS.Require, id: string): NodeJS.Require | undefined {
  const path = resolve(require, id);
  return path === undefined ? undefined : createRequire(path);
}

function resolve(require: NodeJS.Require, id: string): string | undefined {
  try {
    return require.resolve(id);
  } catch {
    return undefined;
  }
}

/** A condition's target in package.json: a path, or `{types, default}`. */
function target(directory: string, condition: unknown): string | undefined {
  const path =
    typeof condition === 'object' && condition !== null && 'default' in condition
      ? condition.default
      : condition;
  return typeof path === 'string' ? join(directory, path) : undefined;
}

/** The CommonJS build, if the user's code has loaded it already; loading it only to look would double the memory. */
export function loadedCjs<T>({ cjs }: Package): T | undefined {
  if (cjs === undefined) return undefined;
  const require = createRequire(cjs);
  return require.cache[cjs] === undefined ? undefined : (require(cjs) as T);
}

export async function importEsm<T>({ esm }: Package): Promise<T | undefined> {
  return esm === undefined ? undefined : ((await import(pathToFileURL(esm).href)) as T);
}

/**
 * What an entry point of a package exports, in both builds as a file's own `node_modules` lead to them: the CommonJS one only if
 * it is in use.
 */
export async function copiesOf<T>(name: string, entry: string, file: string): Promise<T[]> {
  const found = await findPackage(name, file, entry);
  if (!found) return [];
  return [loadedCjs<T>(found), await importEsm<T>(found)].filter((copy) => copy !== undefined);
}
