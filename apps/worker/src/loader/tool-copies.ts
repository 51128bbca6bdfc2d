import * as own from '@langchain/core/tools';
import { deliverKnownResults } from './known-result.ts';
import { copiesOf } from './package-copy.ts';

/** Makes the tools of the worker's own copy of LangChain deliver known results, and those of a graph's. */
export async function mendTools(file?: string): Promise<void> {
  deliverKnownResults(own.StructuredTool);
  if (file === undefined) return;
  for (const tools of await copiesOf<typeof own>('@langchain/core', './tools', file)) {
    deliverKnownResults(tools.StructuredTool);
  }
}
