import { Refusal } from '@millrace/shared/contract/error';
import type { Json, JsonObject } from '@millrace/shared/contract/json';
import { multitaskStrategies } from '@millrace/shared/contract/run';
import { type StreamMode, streamModes } from '@millrace/shared/contract/stream-mode';
import { z } from 'zod';
import type { RunOrder } from '../use-cases/run-order.ts';
import { anyJson, checkpointId, checkpointRef, object } from './fields.ts';

/** The Agent Server has these two more. */
const unservedModes = ['events', 'tools'] as const;
const streamMode = z.enum([...streamModes, ...unservedModes]);
const nodeNames = z.union([z.literal('*'), z.array(z.string())]);
const send = z.union([z.string(), z.object({ node: z.string(), input: anyJson.optional() })]);
const LONGEST_DELAY_SECONDS = 366 * 24 * 3600;

/** The body of every request that makes a run. Fields that are not known here are passed over. */
export const runBody = z.object({
  assistant_id: z.string().min(1, 'give the id of an assistant or the name of a graph'),
  input: anyJson.optional(),
  command: z
    .object({
      resume: anyJson.optional(),
      update: z.union([object, z.array(z.tuple([z.string(), anyJson]))]).nullish(),
      goto: z.union([send, z.array(send)]).nullish(),
    })
    .nullish(),
  config: z
    .object({
      configurable: object.nullish(),
      recursion_limit: z.int().positive('give 1 or more').nullish(),
      tags: z.array(z.string()).nullish(),
      metadata: object.nullish(),
    })
    .nullish(),
  context: object.nullish(),
  metadata: object.nullish(),
  stream_mode: z.union([streamMode, z.array(streamMode)]).nullish(),
  stream_subgraphs: z.boolean().nullish(),
  stream_resumable: z.boolean().nullish(),
  interrupt_before: nodeNames.nullish(),
  interrupt_after: nodeNames.nullish(),
  multitask_strategy: z.enum(multitaskStrategies).nullish(),
  on_disconnect: z.enum(['cancel', 'continue']).nullish(),
  on_completion: z.enum(['delete', 'keep']).nullish(),
  after_seconds: z
    .number()
    .min(0, 'give 0 or more')
    .max(LONGEST_DELAY_SECONDS, 'give a year at most')
    .nullish(),
  checkpoint: checkpointRef.nullish(),
  checkpoint_id: checkpointId.nullish(),
  /** Taken, and always served as `sync`: whoever asks for less gets more. */
  durability: z.enum(['sync', 'async', 'exit']).nullish(),
  webhook: z.string().nullish(),
  feedback_keys: z.union([z.string(), z.array(z.string())]).nullish(),
  if_not_exists: z.enum(['create', 'reject']).nullish(),
});
export type RunBody = z.infer<typeof runBody>;

/** Says which checkpoint, and so has no place among a graph's own settings. */
const CHECKPOINT_FIELDS = ['thread_id', 'thread_ts', 'checkpoint_id', 'checkpoint_ns', 'checkpoint_map'];

/**
 * What a run's body asks for, without where it goes and who asks.
 *
 * @param defaultModes what the run's stream holds when the body does not say
 * @throws Refusal naming what is not served
 */
export function toRunOrder(
  body: RunBody,
  defaultModes: StreamMode[],
): Omit<RunOrder, 'tenant' | 'thread' | 'throwaway' | 'createThread' | 'idempotency'> {
  refuseUnserved(body);
  const command = toCommand(body);
  const config = body.config ?? undefined;
  const metadata = body.metadata || config?.metadata ? { ...config?.metadata, ...body.metadata } : undefined;
  return {
    assistant: body.assistant_id,
    // The Agent Server lets the command win, too.
    input: command ? undefined : body.input,
    command,
    config: config && {
      configurable: ownSettings(config.configurable ?? undefined),
      tags: config.tags ?? undefined,
    },
    recursionLimit: config?.recursion_limit ?? undefined,
    context: body.context ?? undefined,
    metadata,
    ...(metadata && { threadMetadata: metadata }),
    streamModes: toStreamModes(body) ?? defaultModes,
    streamSubgraphs: body.stream_subgraphs ?? undefined,
    interruptBefore: atNodes(body.interrupt_before),
    interruptAfter: atNodes(body.interrupt_after),
    checkpointId: startOf(body),
    multitask: body.multitask_strategy ?? undefined,
    afterMs: body.after_seconds ? Math.round(body.after_seconds * 1000) : undefined,
  };
}

function refuseUnserved(body: RunBody): void {
  const refuse = (field: string, instead: string): never => {
    throw new Refusal('unsupported', `${field} is not served; ${instead}`, { field });
  };
  if (body.webhook) refuse('webhook', 'follow the run with join or its stream');
  if (body.feedback_keys && body.feedback_keys.length > 0) refuse('feedback_keys', 'leave it out');
  if (body.checkpoint?.checkpoint_ns) {
    refuse('checkpoint.checkpoint_ns', 'a run starts from a checkpoint of the root graph');
  }
  const modes = [body.stream_mode ?? []].flat();
  const unserved = unservedModes.find((mode) => modes.includes(mode));
  if (unserved) refuse('stream_mode', `there is no "${unserved}" here; use ${streamModes.join(', ')}`);
}

/** `{resume: null}` alone answers null; next to another field it is a client's way to leave it out. */
function toCommand({ command }: RunBody): RunOrder['command'] {
  if (!command) return undefined;
  const update = command.update ?? undefined;
  const goto = (command.goto ?? undefined) as Json | undefined;
  const moves = update !== undefined || goto !== undefined;
  const resume = command.resume === null && moves ? undefined : command.resume;
  return moves || resume !== undefined ? { resume, update, goto } : undefined;
}

function toStreamModes(body: RunBody): StreamMode[] | undefined {
  const modes = [body.stream_mode ?? []].flat() as StreamMode[];
  return modes.length === 0 ? undefined : [...new Set(modes)];
}

function atNodes(nodes: '*' | string[] | null | undefined): '*' | string[] | undefined {
  return nodes == null || nodes.length === 0 ? undefined : nodes;
}

function startOf(body: RunBody): string | undefined {
  const inConfig = body.config?.configurable?.checkpoint_id;
  return (
    body.checkpoint_id ??
    body.checkpoint?.checkpoint_id ??
    (typeof inConfig === 'string' && inConfig !== '' ? inConfig : undefined)
  );
}

function ownSettings(configurable: JsonObject | undefined): JsonObject | undefined {
  if (!configurable) return undefined;
  return Object.fromEntries(
    Object.entries(configurable).filter(([name]) => !CHECKPOINT_FIELDS.includes(name)),
  );
}
