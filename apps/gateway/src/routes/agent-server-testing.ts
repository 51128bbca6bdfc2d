import { RedisSaver } from '@millrace/checkpoint-redis';
import { Hono } from 'hono';
import { catalogEntry, type TestGateway, testGateway } from '../gateway-testing.ts';
import type { HttpEnv } from '../http/env.ts';
import { type Listener, listen } from '../http/listen.ts';
import { problem } from '../http/problem.ts';
import type { Services } from '../services.ts';
import { assistantRoutes } from './assistants.ts';
import { runRoutes } from './runs.ts';
import { threadRoutes } from './threads.ts';

export const AGENT_ID = '9f6c3b5e-3d5f-5a51-9d7e-0c5f4b1a2d3c';

/** What a test writes as a thread's state. */
export interface TestState {
  id: string;
  parent?: string;
  values?: Record<string, unknown>;
  tasks?: { id: string; name: string }[];
  metadata?: Record<string, unknown>;
  ns?: string;
  /** Leave out what only a graph knows, as before a worker has told it. */
  undescribed?: boolean;
}

/** The routes of the Agent Server alone; the tenant is what the `X-Tenant` header says. For tests only. */
export interface AgentServer extends Omit<TestGateway, 'send' | 'close'> {
  send: (
    method: string,
    path: string,
    options?: { body?: unknown; headers?: Record<string, string>; signal?: AbortSignal },
  ) => Promise<Response>;
  /** Sends a request and gives the answer's JSON. */
  json: <T = Record<string, unknown>>(method: string, path: string, body?: unknown) => Promise<T>;
  /** Listens on a port of its own, and gives its address. */
  listen: () => Promise<string>;
  /** Plays the worker's saver: writes a checkpoint, which becomes the head. */
  putState: (thread: string, state: TestState) => Promise<void>;
  saver: RedisSaver;
  close: () => Promise<void>;
}

export async function agentServer(): Promise<AgentServer> {
  const gateway = await testGateway({
    graphs: [
      catalogEntry('agent', { assistantId: AGENT_ID, description: 'Answers.', drawing: { nodes: [] } }),
    ],
  });
  const { services, drain, test } = gateway;
  const app = routes(services, drain.signal);
  const saver = new RedisSaver(test.checkpoints, { prefix: test.keys.checkpoints(), namespace: 't' });
  let listener: Listener | undefined;
  const send: AgentServer['send'] = async (method, path, { body, headers = {}, signal } = {}) =>
    app.request(path, {
      method,
      headers,
      ...(signal && { signal }),
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
  return {
    ...gateway,
    saver,
    send,
    json: async <T>(method: string, path: string, body?: unknown) => {
      const response = await send(method, path, { body });
      return (await response.json()) as T;
    },
    listen: async () => {
      listener ??= await listen(app, { host: '127.0.0.1', port: 0, stallMs: 60_000 });
      return listener.url;
    },
    putState: (thread, state) => putState(saver, thread, state),
    close: async () => {
      drain.abort();
      await listener?.close(0);
      await gateway.close();
    },
  };
}

function routes(services: Services, drain: AbortSignal): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  app.use(async (c, next) => {
    c.set('tenant', c.req.header('X-Tenant') ?? 't');
    c.set('requestId', 'test');
    c.set('logger', services.logger);
    await next();
  });
  for (const face of [threadRoutes, runRoutes, assistantRoutes]) app.route('/', face(services, { drain }));
  app.onError((error, c) => problem(c, error));
  return app;
}

let version = 0;

async function putState(saver: RedisSaver, thread: string, state: TestState): Promise<void> {
  const { id, parent, values = {}, tasks = [], metadata = {}, ns = '', undescribed = false } = state;
  version += 1;
  const versions = Object.fromEntries(Object.keys(values).map((channel) => [channel, version]));
  const at = (checkpoint: string | undefined) => ({
    configurable: {
      thread_id: thread,
      checkpoint_ns: ns,
      ...(checkpoint !== undefined && { checkpoint_id: checkpoint }),
    },
  });
  await saver.put(
    at(parent),
    {
      v: 4,
      id,
      ts: new Date().toISOString(),
      channel_values: values,
      channel_versions: versions,
      versions_seen: {},
    },
    { source: 'loop', step: 0, parents: {}, ...metadata },
    versions,
  );
  if (!undescribed) await saver.describe(at(id), { tasks, channels: Object.keys(values) });
}
