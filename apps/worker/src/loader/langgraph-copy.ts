import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as own from '@langchain/langgraph';
import type { ExecutableGraph } from './executable-graph.ts';

/**
 * The parts of LangGraph that must come from the same copy as the graph they are used with. LangGraph recognises its
 * `Send` by `instanceof`, so a `goto` made with another copy's is refused. (`Command`, interrupts and drained runs are
 * recognised by name and pass between copies.)
 */
export interface LangGraphCopy {
  Command: typeof own.Command;
  Send: typeof own.Send;
  /** Absent in versions that cannot drain a run between steps. */
  RunControl: typeof own.RunControl | undefined;
  /** Whether it is the copy the worker itself uses. */
  own: boolean;
  /** For example `1.4.17`; `unknown` when its package.json cannot be found. */
  version: string;
}

interface Package {
  directory: string;
  version: string;
  /** Absolute paths of its two builds. */
  esm: string | undefined;
  cjs: string | undefined;
}

const NAME = '@langchain/langgraph';

/**
 * Finds the copy of LangGraph that made a graph: the worker's, or the one that the file's own `node_modules` leads to.
 * A package has two builds, and TypeScript outside a `"type": "module"` package gets the CommonJS one, so both are tried.
 * @param file absolute path of the module that exports the graph.
 */
export async function langGraphOf(graph: ExecutableGraph, file: string): Promise<LangGraphCopy> {
  const found = await findPackage(file);
  if (!made(own, graph) && found !== undefined) {
    for (const load of [() => loadedCjs(found), () => importEsm(found)]) {
      const candidate = await load();
      if (candidate !== undefined && made(candidate, graph)) return toCopy(candidate, found.version);
    }
  }
  return toCopy(own, (await findPackage(import.meta.filename))?.version ?? 'unknown');
}

/** The worker's own copy. */
export async function ownLangGraph(): Promise<LangGraphCopy> {
  return toCopy(own, (await findPackage(import.meta.filename))?.version ?? 'unknown');
}

type LangGraph = typeof own;

function toCopy(library: LangGraph, version: string): LangGraphCopy {
  return {
    Command: library.Command,
    Send: library.Send,
    RunControl: library.RunControl as LangGraph['RunControl'] | undefined,
    own: library === own,
    version,
  };
}

/** Whether a graph's class is this copy's: the one place where `instanceof` is the very question. */
function made(library: LangGraph, graph: ExecutableGraph): boolean {
  // CompiledStateGraph extends CompiledGraph extends Pregel, which also makes the graphs of `entrypoint`.
  const Pregel: unknown = Object.getPrototypeOf(
    Object.getPrototypeOf(library.CompiledStateGraph ?? null) ?? null,
  );
  return typeof Pregel === 'function' && graph instanceof Pregel;
}

async function findPackage(file: string): Promise<Package | undefined> {
  const require = createRequire(file);
  // A project may get it through `langchain` only, which under pnpm hides it from the project itself.
  for (const from of [require, requireOf(require, 'langchain/package.json')]) {
    const path = from && resolve(from, `${NAME}/package.json`);
    if (path === undefined) continue;
    const { version, exports } = JSON.parse(await readFile(path, 'utf8')) as {
      version: string;
      exports?: Record<string, { import?: unknown; require?: unknown }>;
    };
    const directory = dirname(path);
    const entry = exports?.['.'];
    return {
      directory,
      version,
      esm: target(directory, entry?.import),
      cjs: target(directory, entry?.require),
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
function loadedCjs({ cjs }: Package): LangGraph | undefined {
  if (cjs === undefined) return undefined;
  const require = createRequire(cjs);
  return require.cache[cjs] === undefined ? undefined : (require(cjs) as LangGraph);
}

async function importEsm({ esm }: Package): Promise<LangGraph | undefined> {
  return esm === undefined ? undefined : ((await import(pathToFileURL(esm).href)) as LangGraph);
}
