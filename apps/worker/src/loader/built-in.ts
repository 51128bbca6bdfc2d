import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BaseChatModel } from '@langchain/core/language_models/chat_models';
import { AGENT_DESCRIPTION, makeAgent } from '../graphs/agent.ts';
import { toExecutable } from './executable-graph.ts';
import { ownLangGraph } from './langgraph-copy.ts';
import { type LoadedGraph, makeLoadedGraph } from './loaded-graph.ts';
import { mendModels } from './model-copies.ts';
import { mendTools } from './tool-copies.ts';

/** The graphs a worker has when it is given no `langgraph.json`: `agent`, with the given model. */
export async function builtInGraphs(model: BaseChatModel): Promise<LoadedGraph[]> {
  const graph = await toExecutable(makeAgent(model));
  if (graph === undefined) throw new Error('createAgent gave no graph.');
  await mendTools();
  await mendModels();
  return [
    await makeLoadedGraph({
      name: 'agent',
      description: AGENT_DESCRIPTION,
      graph,
      langgraph: await ownLangGraph(),
      source: await readSources(join(import.meta.dirname, '../graphs')),
    }),
  ];
}

/** The text of all modules in a folder, tests left out, in a stable order. */
async function readSources(folder: string): Promise<string> {
  const names = (await readdir(folder, { recursive: true })).filter(
    (name) => name.endsWith('.ts') && !name.endsWith('.test.ts'),
  );
  const texts = await Promise.all(names.sort().map((name) => readFile(join(folder, name), 'utf8')));
  return texts.join('\n');
}
