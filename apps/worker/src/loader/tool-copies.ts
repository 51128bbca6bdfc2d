import * as own from '@langchain/core/tools';
import { deliverKnownResults } from './known-result.ts';
import { findPackage, importEsm, loadedCjs } from './package-copy.ts';

type Tools = typeof own;

/** Makes the tools of the worker's own copy of LangChain deliver known results, and those of a graph's. */
export async function mendTools(file?: string): Promise<void> {
  deliverKnownResults(own.StructuredTool);
  const found = file === undefined ? undefined : await findPackage('@langchain/core', file, './tools');
  if (!found) return;
  for (const tools of [loadedCjs<Tools>(found), await importEsm<Tools>(found)]) {
    if (tools) deliverKnownResults(tools.StructuredTool);
  }
}
