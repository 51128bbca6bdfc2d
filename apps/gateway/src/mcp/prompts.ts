import type { CatalogEntry } from '@millrace/shared/contract/catalog';
import { filledIn, type GraphPrompt } from '@millrace/shared/contract/prompt';
import {
  type GetPromptResult,
  type Prompt,
  ProtocolError,
  ProtocolErrorCode,
  type Server,
} from '@modelcontextprotocol/server';
import type { Services } from '../services.ts';
import { guarded } from './guarded.ts';
import type { Caller } from './tool-call.ts';
import { inWords } from './tools.ts';

/** A graph's prompt, under the name by which clients know it. */
interface CatalogPrompt {
  definition: Prompt;
  prompt: GraphPrompt;
}

/** The prompts that graphs declare in `langgraph.json`. */
export function servePrompts(server: Server, services: Services, caller: Caller): void {
  server.setRequestHandler('prompts/list', ({ params }) =>
    guarded(caller, async () => {
      if (params?.cursor !== undefined) throw invalid('There is one page; leave "cursor" out');
      return { prompts: graphPrompts(await services.catalog.list()).map((one) => one.definition) };
    }),
  );

  server.setRequestHandler('prompts/get', ({ params }) =>
    guarded(caller, async () => {
      const entries = await services.catalog.list();
      // Says so when no worker has published anything yet: then any name is unknown.
      if (entries.length === 0) await services.catalog.resolve(params.name, 'name');
      return getPrompt(graphPrompts(entries), params.name, params.arguments ?? {});
    }),
  );
}

/**
 * In the catalog's order, and within a graph in its own. Names are one to one with graphs and their prompts: neither has a dot,
 * and no graph's prompt is renamed by what another one declares.
 */
export function graphPrompts(catalog: CatalogEntry[]): CatalogPrompt[] {
  return catalog.flatMap(({ graph, prompts = [] }) =>
    prompts.map((prompt) => ({
      prompt,
      definition: {
        name: `${graph}.${prompt.name}`,
        title: prompt.title ?? inWords(prompt.name),
        ...(prompt.description !== undefined && { description: prompt.description }),
        ...(prompt.arguments.length > 0 && { arguments: prompt.arguments.map(toArgument) }),
      },
    })),
  );
}

/** @throws ProtocolError -32602 naming what is missing or not known */
export function getPrompt(
  prompts: CatalogPrompt[],
  name: string,
  args: Record<string, string>,
): GetPromptResult {
  const found = prompts.find((one) => one.definition.name === name);
  if (!found) {
    const known = prompts.map((one) => one.definition.name).join(', ') || 'none';
    throw invalid(`There is no prompt "${name}"; there are: ${known}`);
  }
  const { prompt } = found;
  const missing = prompt.arguments.filter((one) => one.required && !Object.hasOwn(args, one.name));
  const strange = Object.keys(args).filter((one) => !prompt.arguments.some((known) => known.name === one));
  const faults = [
    ...missing.map((one) => `${one.name} is missing`),
    ...strange.map((one) => `${one} is not known here`),
  ];
  if (faults.length > 0) throw invalid(`The arguments are not valid: ${faults.join('; ')}`);
  return {
    ...(prompt.description !== undefined && { description: prompt.description }),
    messages: prompt.messages.map(({ role, content }) => ({
      role,
      content: { type: 'text', text: filledIn(content, args) },
    })),
  };
}

function toArgument({ name, title, description, required }: GraphPrompt['arguments'][number]) {
  return {
    name,
    ...(title !== undefined && { title }),
    ...(description !== undefined && { description }),
    required: required ?? false,
  };
}

function invalid(message: string): ProtocolError {
  return new ProtocolError(ProtocolErrorCode.InvalidParams, message);
}
