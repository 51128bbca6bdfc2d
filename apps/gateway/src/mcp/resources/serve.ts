import {
  ProtocolError,
  ProtocolErrorCode,
  type Server,
  type ServerCapabilities,
} from '@modelcontextprotocol/server';
import type { Services } from '../../services.ts';
import { guarded } from '../guarded.ts';
import type { Caller, Era } from '../tool-call.ts';
import { readResource } from './read.ts';
import { resourceTemplates } from './uri.ts';

/** They change with releases of the gateway. */
const TEMPLATES_TTL_MS = 3_600_000;

export const resourceCacheHints = {
  'resources/list': { ttlMs: TEMPLATES_TTL_MS, cacheScope: 'public' },
  'resources/templates/list': { ttlMs: TEMPLATES_TTL_MS, cacheScope: 'public' },
} as const;

/** The older revisions tell of updates within a session, and there are none here. */
export function resourceCapabilities(era: Era): ServerCapabilities['resources'] {
  return era === 'modern' ? { subscribe: true } : {};
}

/** Runs, their events and threads as resources. */
export function serveResources(server: Server, services: Services, caller: Caller): void {
  // Whose id nobody knows is not found here: there is no index of a tenant's runs, and each submit would have to keep it.
  server.setRequestHandler('resources/list', ({ params }) =>
    guarded(caller, async () => {
      onePage(params?.cursor);
      return { resources: [] };
    }),
  );

  server.setRequestHandler('resources/templates/list', ({ params }) =>
    guarded(caller, async () => {
      onePage(params?.cursor);
      return { resourceTemplates };
    }),
  );

  server.setRequestHandler('resources/read', ({ params }) =>
    guarded(caller, () => readResource(services, caller.tenant, params.uri)),
  );
}

function onePage(cursor: string | undefined): void {
  if (cursor === undefined) return;
  throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'There is one page; leave "cursor" out');
}
