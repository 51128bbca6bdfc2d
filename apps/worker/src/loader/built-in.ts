import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BaseChatModel } from '@langchain/core/language_models/chat_models';
import type { StructuredToolInterface } from '@langchain/core/tools';
import { AGENT_DESCRIPTION, makeAgent } from '../graphs/agent.ts';
import { type ExecutableGraph, toExecutable } from './executable-graph.ts';
import { ownLangGraph } from './langgraph-copy.ts';
import { type LoadedGraph, makeLoadedGraph } from './loaded-graph.ts';
import { mendModels } from './model-copies.ts';
import { mendTools } from './tool-copies.ts';

type Tools = readonly StructuredToolInterface[];

/**
 * The graphs a worker has when it is given no `langgraph.json`: `agent`, with the given model, and with the tools of MCP
 * servers that a run's config brings along. These are no part of its revision: the nodes are the same, whatever is there.
 */
export async function builtInGraphs(model: BaseChatModel): Promise<LoadedGraph[]> {
  const make = async (tools: Tools): Promise<ExecutableGraph> => {
    const graph = await toExecutable(makeAgent(model, tools));
    if (graph === undefined) throw new Error('createAgent gave no graph.');
    return graph;
  };
  const plain = await make([]);
  const made = new WeakMap<Tools, Promise<ExecutableGraph>>();
  await mendTools();
  await mendModels();
  return [
    await makeLoadedGraph({
      name: 'agent',
      description: AGENT_DESCRIPTION,
      graph: plain,
      factory: async ({ configurable }) => {
        const tools = (configurable?.mcp_tools as (() => Tools) | undefined)?.() ?? [];
        if (tools.length === 0) return plain;
        const graph = made.get(tools) ?? make(tools);
        made.set(tools, graph);
        return graph;
      },
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
