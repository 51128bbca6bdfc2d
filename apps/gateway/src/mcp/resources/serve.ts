import type { ChainView } from '@millrace/shared/run-reader';
import {
  ProtocolError,
  ProtocolErrorCode,
  type Resource,
  type Server,
  type ServerCapabilities,
} from '@modelcontextprotocol/server';
import type { Services } from '../../services.ts';
import { closedHow, updatedAtOf } from '../../use-cases/chains.ts';
import { chainPage } from '../chain-page.ts';
import { guarded } from '../guarded.ts';
import type { Caller, Era } from '../tool-call.ts';
import { inWords } from '../tools.ts';
import { readResource } from './read.ts';
import { resourceTemplates } from './uri.ts';

/** They change with releases of the gateway. */
const TEMPLATES_TTL_MS = 3_600_000;

export const resourceCacheHints = {
  'resources/list': { ttlMs: 0, cacheScope: 'private' },
  'resources/templates/list': { ttlMs: TEMPLATES_TTL_MS, cacheScope: 'public' },
} as const;

/** The older revisions tell of updates within a session, and there are none here. */
export function resourceCapabilities(era: Era): ServerCapabilities['resources'] {
  return era === 'modern' ? { subscribe: true } : {};
}

/** Runs, their events and threads as resources. */
export function serveResources(server: Server, services: Services, caller: Caller): void {
  server.setRequestHandler('resources/list', ({ params }) =>
    guarded(caller, async () => {
      const { views, more } = await chainPage(services, caller.tenant, params?.cursor);
      return { resources: views.map(toResource), ...more };
    }),
  );

  server.setRequestHandler('resources/templates/list', ({ params }) =>
    guarded(caller, async () => {
      if (params?.cursor !== undefined) {
        throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'There is one page; leave "cursor" out');
      }
      return { resourceTemplates };
    }),
  );

  server.setRequestHandler('resources/read', ({ params }) =>
    guarded(caller, () => readResource(services, caller.tenant, params.uri)),
  );
}

/** The newest run of a chain. */
function toResource(view: ChainView): Resource {
  const { run } = view;
  return {
    uri: `run://${run.id}`,
    name: run.id,
    title: `${inWords(run.request.graph)}: ${closedHow(view) ?? run.status}`,
    mimeType: 'application/json',
    annotations: { lastModified: new Date(updatedAtOf(view)).toISOString() },
  };
}
