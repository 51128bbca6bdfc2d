import { setTimeout as sleep } from 'node:timers/promises';
import { isRedisFault } from '@millrace/shared/redis-fault';
import {
  CLIENT_CAPABILITIES_META_KEY,
  type ClientCapabilities,
  ProtocolError,
  ProtocolErrorCode,
  SUBSCRIPTION_ID_META_KEY,
} from '@modelcontextprotocol/server';
import type { Context } from 'hono';
import { z } from 'zod';
import type { HttpEnv } from '../../http/env.ts';
import { anyOf } from '../../http/patience.ts';
import { streamEvents } from '../../http/sse.ts';
import type { Services } from '../../services.ts';
import { followChain } from '../../use-cases/chains.ts';
import { guarded } from '../guarded.ts';
import type { Caller, McpLimits } from '../tool-call.ts';
import { takesTasks, tasksRequired } from './extension.ts';
import { merge } from './merge.ts';
import { type Message, messagesOf } from './messages.ts';
import { type DetailedTask, detailedTask } from './task.ts';

/** Each is a watch of its own; who waits for more opens another stream. */
const MOST_TASKS = 100;
/** How long after a fault of Redis a task is looked for again. */
const AGAIN_MS = 500;

const listenRequest = z.object({
  id: z.union([z.string(), z.number()]),
  params: z.object({
    _meta: z.looseObject({}).optional(),
    notifications: z.looseObject({ taskIds: z.unknown() }),
  }),
});
export type TasksListen = z.infer<typeof listenRequest>;

const taskIds = z.array(z.string()).max(MOST_TASKS);

/** Who listens to which tasks. */
interface Listener {
  tenant: string;
  id: string | number;
  tasks: string[];
  everyMs: number;
}

/** A request for news of tasks; undefined when it is any other. The SDK would drop this part of its filter. */
export async function tasksListen(request: Request): Promise<TasksListen | undefined> {
  if (request.headers.get('mcp-method') !== 'subscriptions/listen') return undefined;
  const body: unknown = await request
    .clone()
    .json()
    .catch(() => undefined);
  const { data } = listenRequest.safeParse(body);
  return data?.params.notifications.taskIds === undefined ? undefined : data;
}

/**
 * Tells of tasks as their states change, beside whatever else the client listens to. Each is told of once at the beginning, so
 * that a client which comes back has missed nothing. Ends when all of them are over and there is nothing else to tell.
 *
 * @param response the SDK's own answer: it says what is no valid request, and brings the other news
 */
export async function listenToTasks(
  c: Context<HttpEnv>,
  services: Services,
  caller: Caller,
  limits: McpLimits,
  request: TasksListen,
  response: Response,
): Promise<Response> {
  const { body } = response;
  if (!response.headers.get('content-type')?.startsWith('text/event-stream') || !body) return response;
  const { tenant } = caller;
  try {
    const tasks = await guarded(caller, () => agreedTasks(services, tenant, request));
    const listener = { tenant, id: request.id, tasks, everyMs: limits.progressMs };
    return streamEvents(c, async function* (gone) {
      const enough = anyOf([gone, limits.drain]);
      try {
        for await (const message of news(services, listener, body, enough.signal)) {
          yield { event: 'message', data: JSON.stringify(message) };
        }
      } finally {
        enough.release();
      }
    });
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    await body.cancel();
    const { code, message, data } = error;
    const status = code === tasksRequired().code ? 400 : 200;
    return c.json({ jsonrpc: '2.0', id: request.id, error: { code, message, data } }, status);
  }
}

/** @returns those of the tasks asked for that there are */
async function agreedTasks(services: Services, tenant: string, { params }: TasksListen): Promise<string[]> {
  const capabilities = params._meta?.[CLIENT_CAPABILITIES_META_KEY] as ClientCapabilities | undefined;
  if (!takesTasks(capabilities)) throw tasksRequired();
  const asked = taskIds.safeParse(params.notifications.taskIds);
  if (!asked.success) {
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      `notifications.taskIds must be a list of task ids, at most ${MOST_TASKS}`,
    );
  }
  const ids = [...new Set(asked.data)];
  const found = await Promise.all(ids.map((id) => services.store.read.chainView(tenant, id)));
  return ids.filter((_, i) => found[i]);
}

async function* news(
  services: Services,
  listener: Listener,
  others: ReadableStream<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Message, void> {
  const messages = messagesOf(others, signal);
  const first = await messages.next();
  if (first.done) return;
  yield acknowledged(first.value, listener.tasks);
  let end: Message = { id: listener.id, result: { resultType: 'complete', _meta: subscription(listener) } };
  const tasks = listener.tasks.map((taskId) => statesOf(services, listener, taskId, signal));
  for await (const message of merge([messages, ...tasks])) {
    // Theirs is over; ours may not be.
    if (message.result) end = message;
    else yield message;
  }
  yield { jsonrpc: '2.0', ...end };
}

function acknowledged(message: Message, taskIds: string[]): Message {
  const { params } = message;
  return { ...message, params: { ...params, notifications: { ...params?.notifications, taskIds } } };
}

/** A task's states, each once. */
async function* statesOf(
  services: Services,
  listener: Listener,
  taskId: string,
  signal: AbortSignal,
): AsyncGenerator<Message, void> {
  const { tenant, everyMs } = listener;
  let told = '';
  while (!signal.aborted) {
    try {
      for await (const view of followChain(services, tenant, taskId, { signal, everyMs })) {
        const task = await detailedTask(services, view);
        const state = stateOf(task);
        if (state === told) continue;
        told = state;
        yield {
          jsonrpc: '2.0',
          method: 'notifications/tasks',
          params: { ...task, _meta: subscription(listener) },
        };
      }
      return;
    } catch (error) {
      if (!isRedisFault(error)) throw error;
      await sleep(AGAIN_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** What is worth telling: that time goes by is not. */
function stateOf({ ttlMs: _, pollIntervalMs: __, ...state }: DetailedTask): string {
  return JSON.stringify(state);
}

function subscription({ id }: Listener) {
  return { [SUBSCRIPTION_ID_META_KEY]: id };
}
