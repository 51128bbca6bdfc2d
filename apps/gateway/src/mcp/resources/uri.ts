import { parseEventId, type RunEvent } from '@millrace/shared/contract/event';
import type { ResourceTemplateType } from '@modelcontextprotocol/server';

/** What a resource's URI names. */
export type ResourceRef =
  | { kind: 'run'; id: string }
  | { kind: 'events'; id: string; after?: Pick<RunEvent, 'seq' | 'token'> | undefined }
  | { kind: 'thread'; id: string };

export const resourceTemplates: ResourceTemplateType[] = [
  {
    uriTemplate: 'run://{run_id}',
    name: 'run',
    title: 'Run',
    description:
      'Where a run stands: its status, its answer or values, its questions or why it failed, its thread and its times.',
    mimeType: 'application/json',
  },
  {
    uriTemplate: 'run://{run_id}/events{?after}',
    name: 'run_events',
    title: 'Events of a run',
    description: 'What a run has told so far, in order; after the event with the id that `after` names.',
    mimeType: 'application/json',
  },
  {
    uriTemplate: 'thread://{thread_id}',
    name: 'thread',
    title: 'Thread',
    description:
      "A conversation's messages in order, or the state's values where a graph is no conversation.",
    mimeType: 'application/json',
  },
];

const URI = /^(run|thread):\/\/([^/?#]+)(\/events)?(?:\?after=([^&#]*))?$/;

/** @returns undefined when it is no URI of ours */
export function parseResourceUri(uri: string): ResourceRef | undefined {
  const [, scheme, host = '', events, after] = URI.exec(uri) ?? [];
  const id = decoded(host);
  if (scheme === undefined || id === undefined) return undefined;
  if (events === undefined) {
    return after === undefined ? { kind: scheme === 'run' ? 'run' : 'thread', id } : undefined;
  }
  if (scheme !== 'run') return undefined;
  if (after === undefined || after === '') return { kind: 'events', id };
  const position = parseEventId(after);
  return position && { kind: 'events', id, after: position };
}

/** Ids of threads may have characters that a template expands to escapes. */
function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
