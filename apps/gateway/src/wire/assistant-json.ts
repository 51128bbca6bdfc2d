import type { CatalogEntry } from '@millrace/shared/contract/catalog';

/** A graph's default assistant as the Agent Server shows it. Times are ISO 8601. */
export interface WireAssistant {
  assistant_id: string;
  graph_id: string;
  name: string;
  description: string;
  config: object;
  context: object;
  metadata: Record<string, unknown>;
  version: number;
  created_at: string;
  updated_at: string;
}

export function toWireAssistant(entry: CatalogEntry): WireAssistant {
  const published = new Date(entry.since ?? entry.publishedAt).toISOString();
  return {
    assistant_id: entry.assistantId,
    graph_id: entry.graph,
    name: entry.graph,
    description: entry.description,
    config: {},
    context: {},
    metadata: { created_by: 'system' },
    version: 1,
    created_at: published,
    updated_at: published,
  };
}

export function toWireSchemas(entry: CatalogEntry): object {
  return {
    graph_id: entry.graph,
    input_schema: entry.inputSchema,
    output_schema: entry.outputSchema,
    state_schema: entry.stateSchema,
    config_schema: entry.configSchema,
    context_schema: entry.contextSchema,
  };
}
