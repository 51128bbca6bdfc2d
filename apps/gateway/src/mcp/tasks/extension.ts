import {
  type ClientCapabilities,
  MissingRequiredClientCapabilityError,
  ProtocolError,
  ProtocolErrorCode,
  type Server,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import type { Services } from '../../services.ts';
import { cancelChain, getChain } from '../../use-cases/chains.ts';
import { guarded } from '../guarded.ts';
import type { Caller } from '../tool-call.ts';
import { takeResponses } from './answer.ts';
import { detailedTask, TASKS } from './task.ts';

const required = { requiredCapabilities: { extensions: { [TASKS]: {} } } };

const ofTask = { params: z.looseObject({ taskId: z.string() }), result: z.looseObject({}) };

/** Revision 2026-07-28: the extension `io.modelcontextprotocol/tasks`. */
export function serveTasks(server: Server, services: Services, caller: Caller): void {
  const find = (taskId: string) => getChain(services, caller.tenant, taskId);
  const requireTasks = () => {
    if (!takesTasks(server.getClientCapabilities())) throw tasksRequired();
  };

  server.setRequestHandler('tasks/get', ofTask, ({ taskId }) =>
    guarded(caller, async () => {
      requireTasks();
      return { ...(await detailedTask(services, await find(taskId))) };
    }),
  );

  server.setRequestHandler('tasks/update', ofTask, ({ taskId }, context) =>
    guarded(caller, async () => {
      requireTasks();
      await takeResponses(services, caller, await find(taskId), responsesOf(context));
      return {};
    }),
  );

  server.setRequestHandler('tasks/cancel', ofTask, ({ taskId }) =>
    guarded(caller, async () => {
      requireTasks();
      await cancelChain(services, await find(taskId));
      return {};
    }),
  );
}

/** @param capabilities the client's, as the request says them */
export function takesTasks(capabilities: ClientCapabilities | undefined): boolean {
  return capabilities?.extensions?.[TASKS] !== undefined;
}

/** What a client is told that would have to take tasks: -32021. */
export function tasksRequired(): MissingRequiredClientCapabilityError {
  return new MissingRequiredClientCapabilityError(required);
}

/** The SDK has taken them out of the parameters, and left those aside that are no objects. */
function responsesOf({ mcpReq }: ServerContext): Record<string, unknown> {
  const { inputResponses, droppedInputResponseKeys: dropped = [] } = mcpReq;
  if (inputResponses === undefined || dropped.length > 0) {
    const field = dropped.length > 0 ? `inputResponses["${dropped[0]}"]` : 'inputResponses';
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, `${field} must be an object`);
  }
  return inputResponses;
}
