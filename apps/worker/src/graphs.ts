import { applyEnv, type WorkerConfig } from './config.ts';
import { builtInGraphs } from './loader/built-in.ts';
import { loadGraphs } from './loader/load-graphs.ts';
import type { LoadedGraph } from './loader/loaded-graph.ts';
import { describeModel, isDemoModel, resolveModel } from './model/resolve-model.ts';

export interface WorkerGraphs {
  graphs: LoadedGraph[];
  /** The model of the built-in agent; undefined for a user's own graphs, which bring theirs. */
  model: { description: string /** Said with every result. */; note: string | undefined } | undefined;
}

/** The user's graphs, or the built-in agent with the configured model. */
export async function loadWorkerGraphs(config: WorkerConfig): Promise<WorkerGraphs> {
  if (config.langgraphConfig !== undefined) {
    return { graphs: await loadGraphs(config.langgraphConfig, { applyEnv }), model: undefined };
  }
  const { name, baseUrl, timeoutMs, maxTokens, nodeEnv, hasVariable } = config.model;
  const model = await resolveModel({
    model: name,
    baseUrl,
    timeoutSeconds: timeoutMs / 1000,
    maxTokens,
    nodeEnv,
    hasVariable,
    cache: config.cache !== undefined,
  });
  const description = describeModel({ model: name, baseUrl });
  const note = isDemoModel({ model: name }) ? description : undefined;
  return { graphs: await builtInGraphs(model), model: { description, note } };
}
