import { setMaxListeners } from 'node:events';
import type { McpHttpHandler, ProtocolError, ServerEventBus } from '@modelcontextprotocol/server';
import { z } from 'zod';
import type { Services } from '../../services.ts';
import { guarded } from '../guarded.ts';
import type { Caller, McpLimits } from '../tool-call.ts';
import { type ResourceWatch, watchResource } from './watch.ts';

/** One watch each; who waits for more opens another stream. */
const MOST_RESOURCES = 100;

const listenRequest = z.looseObject({
  id: z.union([z.string(), z.number()]),
  method: z.literal('subscriptions/listen'),
  params: z.looseObject({
    notifications: z.looseObject({ resourceSubscriptions: z.array(z.string()).min(1) }),
  }),
});

/**
 * `subscriptions/listen` of 2026-07-28, for resources. What is acknowledged are those of the caller's that are there, the first
 * hundred at most; of these every change is told. The older revisions have `resources/subscribe`, which needs a session, and
 * is not declared.
 *
 * @param handlerWith serves the request with the given events
 * @returns undefined when the request is none of these
 */
export async function listenToResources(
  services: Services,
  caller: Caller,
  limits: Pick<McpLimits, 'drain' | 'progressMs'>,
  request: Request,
  handlerWith: (bus: ServerEventBus) => McpHttpHandler,
  options: Parameters<McpHttpHandler['fetch']>[1],
): Promise<Response | undefined> {
  // The header is compared with the body by the SDK.
  if (request.method !== 'POST' || request.headers.get('mcp-method') !== 'subscriptions/listen')
    return undefined;
  const parsed = listenRequest.safeParse(
    await request
      .clone()
      .json()
      .catch(() => undefined),
  );
  if (!parsed.success) return undefined;
  const { id, params } = parsed.data;
  const uris = [...new Set(params.notifications.resourceSubscriptions)].slice(0, MOST_RESOURCES);
  let watches: ResourceWatch[];
  try {
    watches = await guarded(caller, () => openAll(services, caller.tenant, uris, limits.progressMs));
  } catch (error) {
    const { code, message, data } = error as ProtocolError;
    return Response.json({ jsonrpc: '2.0', id, error: { code, message, data } });
  }
  const notifications = { ...params.notifications, resourceSubscriptions: watches.map((one) => one.uri) };
  const bus = new ResourceBus(watches, limits.drain, (error) =>
    caller.logger.error({ err: error }, 'mcp: a watch of a resource broke off'),
  );
  const handler = handlerWith(bus);
  // Tells the client that this end is orderly.
  bus.onLeave = () => void handler.close();
  try {
    return await handler.fetch(request, {
      ...options,
      parsedBody: { ...parsed.data, params: { ...params, notifications } },
    });
  } finally {
    // The SDK has refused it, or there is nothing to tell.
    if (!bus.isHeard) bus.close();
  }
}

/** Those of the resources that are there. */
async function openAll(
  services: Services,
  tenant: string,
  uris: string[],
  everyMs: number,
): Promise<ResourceWatch[]> {
  const opened = await Promise.allSettled(uris.map((uri) => watchResource(services, tenant, uri, everyMs)));
  const watches = opened.flatMap((one) => (one.status === 'fulfilled' && one.value ? [one.value] : []));
  const failed = opened.find((one) => one.status === 'rejected');
  if (!failed) return watches;
  for (const watch of watches) watch.close();
  throw failed.reason;
}

/** The changes of some resources, for one client. */
class ResourceBus implements ServerEventBus {
  readonly #watches: ResourceWatch[];
  readonly #drain: AbortSignal;
  readonly #onError: (error: unknown) => void;
  readonly #ending = new AbortController();
  onLeave: () => void = () => undefined;
  isHeard = false;

  constructor(watches: ResourceWatch[], drain: AbortSignal, onError: (error: unknown) => void) {
    this.#watches = watches;
    this.#drain = drain;
    this.#onError = onError;
    // Each watch waits with it.
    setMaxListeners(0, this.#ending.signal);
  }

  /** Nobody publishes here: what changes is heard of in Redis. */
  publish(): void {}

  subscribe(listener: Parameters<ServerEventBus['subscribe']>[0]): () => void {
    this.isHeard = true;
    const leave = () => this.onLeave();
    if (this.#drain.aborted) queueMicrotask(leave);
    this.#drain.addEventListener('abort', leave, { once: true });
    for (const watch of this.#watches) {
      this.#relay(watch, () => listener({ kind: 'resource_updated', uri: watch.uri })).catch(this.#onError);
    }
    return () => {
      this.#drain.removeEventListener('abort', leave);
      this.close();
    };
  }

  close(): void {
    this.#ending.abort();
    for (const watch of this.#watches) watch.close();
  }

  async #relay(watch: ResourceWatch, tell: () => void): Promise<void> {
    for await (const _ of watch.changes(this.#ending.signal)) tell();
  }
}
