import { Refusal } from '@millrace/shared/contract/error';
import { type AuthInfo, createMcpHandler, type ServerEventBus } from '@modelcontextprotocol/server';
import { Hono } from 'hono';
import type { HttpEnv } from '../http/env.ts';
import type { Services } from '../services.ts';
import { ArgumentCheck } from './argument-check.ts';
import { withFirstEvent } from './first-event.ts';
import { RequestStates } from './request-state.ts';
import { listenToResources } from './resources/listen.ts';
import { createServer } from './server.ts';
import { listenToTasks, tasksListen } from './tasks/listen.ts';
import type { Caller, McpLimits } from './tool-call.ts';

export interface McpOptions extends Partial<McpLimits> {
  drain: AbortSignal;
  /** Largest request body. */
  maxBodyBytes?: number;
}

/**
 * MCP's Streamable HTTP on `/mcp`, without sessions: revision 2026-07-28 and those from 2025-03-26 on. GET and
 * DELETE, which are about sessions, are answered 405. The HTTP+SSE transport that came before it is not served.
 *
 * Who calls, and from where, has been checked by the time a request comes here.
 *
 * A client of 2026-07-28 that closes a plain call has taken it back, and its run is stopped; unless it gave an idempotency
 * key, with which it may come again. A task is cancelled by its own method alone. In older revisions a connection may be lost
 * for any reason, so that a request which is given up is no longer waited for, and its run goes on: their cancelled notification
 * is a request of its own, names a request id that is unique to one client only, and may come to a gateway that never saw the
 * request. `cancel_run` says plainly what is meant.
 */
export function mcpRoutes(services: Services, options: McpOptions): Hono<HttpEnv> {
  const { drain, waitMs = 20_000, taskAfterMs = 1_000, progressMs = 1_000, maxBodyBytes } = options;
  const parts = {
    services,
    check: new ArgumentCheck(services.logger),
    states: new RequestStates(services),
    limits: { drain, waitMs, taskAfterMs, progressMs },
  };
  const handlerWith = (bus?: ServerEventBus) =>
    createMcpHandler(({ authInfo, era }) => createServer(parts, callerOf(authInfo), era), {
      legacy: 'stateless',
      onerror: (error) => services.logger.debug({ err: error }, 'mcp: a request was refused'),
      ...(maxBodyBytes !== undefined && { maxRequestBodySize: maxBodyBytes }),
      ...(bus && { bus }),
    });
  const handler = handlerWith();
  const app = new Hono<HttpEnv>();
  app.all('/mcp', async (c) => {
    const caller: Caller = {
      tenant: c.get('tenant'),
      requestId: c.get('requestId'),
      logger: c.get('logger'),
      span: c.get('span'),
      headers: c.req.raw.headers,
    };
    const request = c.req.raw;
    const options = { authInfo: toAuthInfo(caller) };
    const listen = await tasksListen(request);
    const answer =
      (await listenToResources(services, caller, parts.limits, request, handlerWith, options)) ??
      (await handler.fetch(request, options));
    const response = listen
      ? await listenToTasks(c, services, caller, parts.limits, listen, answer)
      : await withFirstEvent(answer);
    if (caller.disagrees) return new Response(response.body, { status: 400, headers: response.headers });
    if (response.status === 405) response.headers.set('Allow', 'POST');
    if (response.status >= 500) caller.logger.error({ status: response.status }, 'mcp: a request failed');
    return response;
  });
  // Not 404 or 405: clients take these for an invitation to try the old transport, and then show nothing but the status.
  for (const path of ['/sse', '/messages', '/mcp/sse', '/mcp/messages']) {
    app.all(path, () => {
      throw new Refusal(
        'gone',
        "MCP's old HTTP+SSE transport (2024-11-05) is not served; use Streamable HTTP: POST /mcp",
      );
    });
  }
  return app;
}

/** The one thing that goes with a request through the SDK. The credentials themselves stay behind. */
function toAuthInfo(caller: Caller): AuthInfo {
  return { token: '', clientId: caller.tenant, scopes: [], extra: { caller } };
}

function callerOf(authInfo: AuthInfo | undefined): Caller {
  const caller = authInfo?.extra?.caller;
  if (!caller) throw new Error('the request reached MCP without a caller');
  return caller as Caller;
}
