import { readFile } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type ExecutableGraph, type GraphFactory, toExecutable } from './executable-graph.ts';
import { type GraphSpec, readGraphConfig } from './graph-config.ts';
import { type GraphFault, GraphLoadError } from './graph-fault.ts';
import { langGraphOf } from './langgraph-copy.ts';
import { type LoadedGraph, makeLoadedGraph } from './loaded-graph.ts';
import { mendModels } from './model-copies.ts';
import { mendTools } from './tool-copies.ts';
import { ensureTypeScript } from './typescript.ts';

/** How to load. */
export interface LoadOptions {
  /**
   * Gets the variables that the configuration's `env` names (an object, or a file of `KEY=value` lines), before any graph
   * is imported. The loader itself never touches the environment.
   */
  applyEnv?: (variables: Record<string, string>) => void;
}

/**
 * Loads the graphs of a `langgraph.json`.
 * @param configFile path of the file; paths in it are relative to its folder.
 * @throws {GraphLoadError} with every fault found, not only the first.
 */
export async function loadGraphs(configFile: string, options: LoadOptions = {}): Promise<LoadedGraph[]> {
  const config = await readGraphConfig(resolve(configFile));
  options.applyEnv?.(config.env);
  const faults: GraphFault[] = [...config.faults];
  const loaded: LoadedGraph[] = [];
  // One after the other: imports have side effects, and a stable order makes them repeatable.
  for (const spec of config.graphs) {
    try {
      loaded.push(await loadGraph(spec));
    } catch (error) {
      faults.push({ graph: spec.name, ...describe(error, spec) });
    }
  }
  if (faults.length > 0) throw new GraphLoadError(resolve(configFile), faults);
  return loaded;
}

/** A fault that already says what to do about it. */
class Remedied extends Error {
  readonly remedy: string;

  constructor(message: string, remedy: string) {
    super(message);
    this.remedy = remedy;
  }
}

async function loadGraph(spec: GraphSpec): Promise<LoadedGraph> {
  const source = await readSource(spec);
  await ensureTypeScript(spec.file);
  const module = (await import(pathToFileURL(spec.file).href)) as Record<string, unknown>;
  const exported = exportOf(module, spec);
  const factory = isFactory(exported) ? factoryOf(exported, spec) : undefined;
  const graph = factory === undefined ? await toExecutable(exported) : await firstOf(factory, spec);
  if (graph === undefined) throw notAGraph(spec);
  const langgraph = await langGraphOf(graph, spec.file);
  if (langgraph.version.startsWith('0.')) {
    throw new Remedied(
      `it is made with @langchain/langgraph ${langgraph.version}, which is too old`,
      `run npm install @langchain/langgraph@^1.4.12 in ${dirname(spec.file)}`,
    );
  }
  await mendTools(spec.file);
  await mendModels(spec.file);
  return makeLoadedGraph({ ...spec, graph, factory, langgraph, source });
}

async function readSource(spec: GraphSpec): Promise<string> {
  if (!['.ts', '.mts', '.js', '.mjs', '.cjs'].includes(extname(spec.file))) {
    throw new Remedied(
      `${spec.file} is not a module that can be loaded`,
      'name a .ts, .mts, .js, .mjs or .cjs file',
    );
  }
  try {
    return await readFile(spec.file, 'utf8');
  } catch {
    throw new Remedied(
      `there is no file ${spec.file}`,
      'correct its path, which is relative to the configuration file',
    );
  }
}

function exportOf(module: Record<string, unknown>, spec: GraphSpec): unknown {
  // A CommonJS module comes as its `default`, with only the statically visible names beside it.
  const inner = module.default as Record<string, unknown> | null | undefined;
  const exported =
    module[spec.exportName] ??
    (typeof inner === 'object' && inner !== null ? inner[spec.exportName] : undefined);
  if (exported === undefined || exported === null) {
    const names = Object.keys(module).filter((name) => name !== '__esModule' && name !== 'module.exports');
    throw new Remedied(
      `${spec.file} exports no "${spec.exportName}"`,
      names.length === 0 ? 'export the graph from it' : `it exports: ${names.join(', ')}`,
    );
  }
  return exported;
}

type Factory = (config: unknown) => unknown;

function isFactory(exported: unknown): exported is Factory {
  return typeof exported === 'function';
}

function factoryOf(exported: Factory, spec: GraphSpec): GraphFactory {
  return async (config) => {
    const graph = await toExecutable(exported(config));
    if (graph === undefined) throw notAGraph(spec);
    return graph;
  };
}

async function firstOf(factory: GraphFactory, spec: GraphSpec): Promise<ExecutableGraph> {
  try {
    return await factory({ configurable: {} });
  } catch (error) {
    if (error instanceof Remedied) throw error;
    throw new Remedied(
      `its function "${spec.exportName}" fails: ${messageOf(error)}`,
      'it is called once at start-up with {configurable: {}}, to draw the graph, and must manage with that',
    );
  }
}

function notAGraph(spec: GraphSpec): Remedied {
  return new Remedied(
    `"${spec.exportName}" of ${spec.file} is not a graph`,
    'export a compiled graph, a StateGraph, an agent of createAgent, a promise of one, or a function (config) => graph',
  );
}

function describe(error: unknown, spec: GraphSpec): { message: string; remedy: string } {
  if (error instanceof Remedied) return { message: error.message, remedy: error.remedy };
  const message = messageOf(error);
  const missing = /Cannot find (?:package|module) '([^'./][^']*)'/.exec(message)?.[1];
  return {
    message: `${spec.file} cannot be imported: ${message}`,
    remedy:
      missing === undefined
        ? 'correct the error in the file or in what it imports'
        : `run npm install ${packageOf(missing)} in ${dirname(spec.file)}`,
  };
}

/** The package of an import: `@scope/name/sub/path` is in `@scope/name`. */
function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

/** The first line only: Node adds a list of the importing files to its errors. */
function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? '';
}
