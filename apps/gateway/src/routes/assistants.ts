import type { CatalogEntry } from '@millrace/shared/contract/catalog';
import type { Context } from 'hono';
import { Hono } from 'hono';
import { z } from 'zod';
import { readJson } from '../http/body.ts';
import { conditionalJson } from '../http/conditional.ts';
import type { HttpEnv } from '../http/env.ts';
import type { Services } from '../services.ts';
import { toWireAssistant, toWireSchemas, type WireAssistant } from '../wire/assistant-json.ts';
import { limit, object, offset } from '../wire/fields.ts';
import { pick } from '../wire/json-response.ts';
import { decline } from './declined.ts';

const filter = {
  graph_id: z.string().nullish(),
  name: z.string().nullish(),
  metadata: object.nullish(),
};
const countBody = z.object(filter);
const searchBody = z.object({
  ...filter,
  limit: limit.nullish(),
  offset: offset.nullish(),
  sort_by: z.enum(['assistant_id', 'graph_id', 'name', 'created_at', 'updated_at']).nullish(),
  sort_order: z.enum(['asc', 'desc']).nullish(),
  select: z.array(z.string()).nullish(),
});

/** Assistants, as the LangGraph Agent Server serves them: of each graph, its default one. */
export function assistantRoutes(services: Services, _options: { drain: AbortSignal }): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();

  app.post('/assistants/search', async (c) => {
    const query = await readJson(c, searchBody);
    const found = await find(services, query);
    const by = query.sort_by ?? 'created_at';
    found.sort((a, b) => (a[by] < b[by] ? -1 : a[by] > b[by] ? 1 : 0));
    if ((query.sort_order ?? 'desc') === 'desc') found.reverse();
    const from = query.offset ?? 0;
    const to = from + (query.limit ?? 10);
    c.header('X-Pagination-Total', String(found.length));
    if (to < found.length) c.header('X-Pagination-Next', String(to));
    return c.json(found.slice(from, to).map((one) => pick(one, query.select ?? undefined)));
  });

  app.post('/assistants/count', async (c) => {
    return c.json((await find(services, await readJson(c, countBody))).length);
  });

  // Each changes with the next release, so a cache has to ask.
  const describing = (path: string, describe: (entry: CatalogEntry) => unknown) =>
    app.get(path, async (c) => conditionalJson(c, JSON.stringify(describe(await entryOf(c, services)))));
  describing('/assistants/:assistant_id', toWireAssistant);
  describing('/assistants/:assistant_id/schemas', toWireSchemas);
  describing('/assistants/:assistant_id/graph', (entry) => entry.drawing);
  app.post('/assistants/:assistant_id/versions', async (c) => {
    return c.json([toWireAssistant(await entryOf(c, services))]);
  });

  const fixed = 'Each graph has its default assistant and no other; give config and context with the run';
  decline(app, {
    'POST /assistants': fixed,
    'PATCH /assistants/:assistant_id': fixed,
    'DELETE /assistants/:assistant_id': fixed,
    'POST /assistants/:assistant_id/latest': fixed,
    'GET /assistants/:assistant_id/subgraphs': 'Schemas of sub-graphs are not published',
    'GET /assistants/:assistant_id/subgraphs/:namespace': 'Schemas of sub-graphs are not published',
  });
  return app;
}

function entryOf(c: Context<HttpEnv>, services: Services): Promise<CatalogEntry> {
  return services.catalog.resolve(c.req.param('assistant_id') ?? '', 'assistant_id');
}

async function find(services: Services, query: z.infer<typeof countBody>): Promise<WireAssistant[]> {
  const { graph_id: graph, name, metadata } = query;
  return (await services.catalog.list()).map(toWireAssistant).filter((one) => {
    if (graph != null && one.graph_id !== graph) return false;
    if (name != null && !one.name.toLowerCase().includes(name.toLowerCase())) return false;
    return Object.entries(metadata ?? {}).every(([key, value]) => one.metadata[key] === value);
  });
}
