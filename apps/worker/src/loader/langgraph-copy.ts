import * as own from '@langchain/langgraph';
import type { ExecutableGraph } from './executable-graph.ts';
import { findPackage, importEsm, loadedCjs } from './package-copy.ts';

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

const NAME = '@langchain/langgraph';

/**
 * Finds the copy of LangGraph that made a graph: the worker's, or the one that the file's own `node_modules` leads to.
 * A package has two builds, and TypeScript outside a `"type": "module"` package gets the CommonJS one, so both are tried.
 * @param file absolute path of the module that exports the graph.
 */
export async function langGraphOf(graph: ExecutableGraph, file: string): Promise<LangGraphCopy> {
  const found = await findPackage(NAME, file);
  if (!made(own, graph) && found !== undefined) {
    for (const load of [() => loadedCjs<LangGraph>(found), () => importEsm<LangGraph>(found)]) {
      const candidate = await load();
      if (candidate !== undefined && made(candidate, graph)) return toCopy(candidate, found.version);
    }
  }
  return toCopy(own, (await findPackage(NAME, import.meta.filename))?.version ?? 'unknown');
}

/** The worker's own copy. */
export async function ownLangGraph(): Promise<LangGraphCopy> {
  return toCopy(own, (await findPackage(NAME, import.meta.filename))?.version ?? 'unknown');
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
