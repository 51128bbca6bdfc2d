import type { ChainView } from '@millrace/shared/run-reader';
import {
  type CallToolResult,
  ProtocolError,
  ProtocolErrorCode,
  RELATED_TASK_META_KEY,
  type Server,
  type ServerCapabilities,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import { untilAny } from '../../http/patience.ts';
import type { Services } from '../../services.ts';
import { cancelChain, followChain, getChain, isOver } from '../../use-cases/chains.ts';
import { waitForRun } from '../../use-cases/runs.ts';
import { chainPage } from '../chain-page.ts';
import { guarded } from '../guarded.ts';
import type { Caller, McpLimits } from '../tool-call.ts';
import { errorOf, type Task, taskOf, taskResult } from './task.ts';

export const taskCapabilities: NonNullable<ServerCapabilities['tasks']> = {
  list: {},
  cancel: {},
  requests: { tools: { call: {} } },
};

const ofList = {
  params: z.looseObject({ cursor: z.string().optional() }).optional(),
  result: z.looseObject({}),
};
const ofTask = { params: z.looseObject({ taskId: z.string() }), result: z.looseObject({}) };

/** Revision 2025-11-25: experimental tasks, which its clients ask for call by call. */
export function serveExperimentalTasks(
  server: Server,
  services: Services,
  caller: Caller,
  limits: McpLimits,
): void {
  const find = (taskId: string) => getChain(services, caller.tenant, taskId);
  const show = async (taskId: string) => ({ ...older(await taskOf(services, await find(taskId))) });

  server.setRequestHandler('tasks/get', ofTask, ({ taskId }) => guarded(caller, () => show(taskId)));

  server.setRequestHandler('tasks/list', ofList, (params) =>
    guarded(caller, async () => {
      const { views, more } = await chainPage(services, caller.tenant, params?.cursor);
      const tasks = await Promise.all(views.map((view) => taskOf(services, view)));
      return { tasks: tasks.map(older), ...more };
    }),
  );

  server.setRequestHandler('tasks/cancel', ofTask, ({ taskId }, { mcpReq }) =>
    guarded(caller, async () => {
      const view = await find(taskId);
      if (isOver(view)) {
        throw new ProtocolError(
          ProtocolErrorCode.InvalidParams,
          'The task is over; there is nothing to cancel',
        );
      }
      await cancelChain(services, view);
      // Its worker stops it after a moment.
      await waitForRun(services, caller.tenant, view.run.id, {
        timeoutMs: limits.waitMs,
        signal: mcpReq.signal,
      });
      return show(taskId);
    }),
  );

  server.setRequestHandler('tasks/result', ofTask, ({ taskId }, { mcpReq }) =>
    guarded(caller, async () => {
      await find(taskId);
      const end = await untilAny([mcpReq.signal, limits.drain], (signal) =>
        endOf(services, caller.tenant, taskId, { signal, everyMs: limits.progressMs }),
      );
      const error = end && errorOf(end);
      if (error) throw new ProtocolError(error.code, error.message, error.data);
      if (end) {
        const result = await taskResult(services, end);
        return { ...result, _meta: { [RELATED_TASK_META_KEY]: { taskId } } };
      }
      // Gone meanwhile, or this gateway leaves.
      await find(taskId);
      throw new ProtocolError(ProtocolErrorCode.InternalError, 'The task is not over yet; ask again', {
        code: 'unavailable',
        retryAfterSeconds: 1,
      });
    }),
  );
}

async function endOf(...of: Parameters<typeof followChain>): Promise<ChainView | undefined> {
  for await (const view of followChain(...of)) {
    if (isOver(view)) return view;
  }
  return undefined;
}

/** The answer to a call that asked for a task. Clients of this revision want to find content as well. */
export function createdTask(task: Task): CallToolResult {
  return { content: [], task: older(task) };
}

function older({ ttlMs, pollIntervalMs, ...task }: Task) {
  return {
    ...task,
    // Without a session there is no way to ask this client's person.
    ...(task.status === 'input_required' && {
      statusMessage: `${task.statusMessage}; use respond_run, with this taskId as run_id`,
    }),
    ttl: ttlMs,
    ...(pollIntervalMs !== undefined && { pollInterval: pollIntervalMs }),
  };
}
