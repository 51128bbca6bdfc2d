import { z } from 'zod';
import { effectAnswer } from './effect.ts';
import { runError } from './error.ts';
import { json, jsonObject } from './json.ts';
import { streamModes } from './stream-mode.ts';
import { traceContext } from './trace.ts';

export const runStatuses = ['queued', 'running', 'interrupted', 'succeeded', 'failed', 'cancelled'] as const;
export type RunStatus = (typeof runStatuses)[number];

/** A run in one of these has its `end` event and never changes again. */
export const endStatuses = ['interrupted', 'succeeded', 'failed', 'cancelled'] as const;
export type EndStatus = (typeof endStatuses)[number];

export function hasEnded(status: RunStatus): status is EndStatus {
  return status !== 'queued' && status !== 'running';
}

/** Whether a run will never be shown in another way. One that asked something may still be cancelled, or taken back. */
export function isFinal(status: RunStatus): boolean {
  return hasEnded(status) && status !== 'interrupted';
}

/**
 * What a run does in its turn on the thread: execute the graph, edit the thread's state through the graph, take back
 * what another run has written, or delete the thread.
 */
export const runKinds = ['graph', 'update_state', 'rollback', 'delete_thread'] as const;
export type RunKind = (typeof runKinds)[number];

/** What to do when the thread is busy; `enqueue` unless told. As the LangGraph Agent Server defines them. */
export const multitaskStrategies = ['enqueue', 'reject', 'interrupt', 'rollback'] as const;
export type MultitaskStrategy = (typeof multitaskStrategies)[number];

const nodeNames = z.union([z.literal('*'), z.array(z.string())]);

/** What a caller asked for. Stored whole with the run and never changed. */
export const runRequest = z.object({
  kind: z.enum(runKinds),
  graph: z.string(),
  assistantId: z.string(),
  /** Absent for an answer, null to continue from the head checkpoint. */
  input: json.optional(),
  /** LangGraph's `Command`, without `resume`: answers are keyed by question in `answers`. */
  command: z.object({ update: json.optional(), goto: json.optional() }).optional(),
  /** Question id → answer. */
  answers: z.record(z.string(), json).optional(),
  /** LangGraph's interrupt id → answer, for the questions of `answers` that are interrupts. */
  resume: z.record(z.string(), json).optional(),
  /** Question id → answer, for questions about effects. The rest of the request is then that of the run that asked. */
  decisions: z.record(z.string(), effectAnswer).optional(),
  /** The work of another run that this one goes on with, as its next attempt would. */
  goesOn: z
    .object({
      /** Whose checkpoints count as this run's own, oldest first. */
      runs: z.array(z.string()),
      /** The checkpoint the first of them started from; empty when there was none, absent when none ever began. */
      base: z.string().optional(),
    })
    .optional(),
  config: z
    .object({
      configurable: jsonObject.optional(),
      tags: z.array(z.string()).optional(),
    })
    .optional(),
  context: jsonObject.optional(),
  metadata: jsonObject.optional(),
  streamModes: z.array(z.enum(streamModes)),
  streamSubgraphs: z.boolean().optional(),
  interruptBefore: nodeNames.optional(),
  interruptAfter: nodeNames.optional(),
  /** Steps the run may take over all its attempts. */
  recursionLimit: z.int().positive().optional(),
  /** Milliseconds the run may execute over all its attempts. */
  timeoutMs: z.int().positive().optional(),
  /** Start from this checkpoint of the thread, not from its head. */
  checkpointId: z.string().optional(),
  /** What the caller wanted done about a busy thread. */
  multitask: z.enum(multitaskStrategies).optional(),
  /** Of the HTTP request that asked for it, so that the logs of gateway and worker can be put together. */
  requestId: z.string().optional(),
  /** What asked for it, in the trace that goes on with its attempts. */
  trace: traceContext.optional(),
  /** For `update_state`: the node in whose name the state is edited. */
  asNode: z.string().optional(),
});
export type RunRequest = z.infer<typeof runRequest>;

/**
 * - `interrupt`: a node called `interrupt()`
 * - `breakpoint`: may it go on?
 * - `unknown_effect`: nobody knows whether a tool that must not be repeated has done its work
 */
export const questionKinds = ['interrupt', 'breakpoint', 'unknown_effect'] as const;

/** One thing a parked run asks. */
export const question = z.object({
  /** Never given to another question. */
  id: z.string(),
  kind: z.enum(questionKinds),
  /** The node that asks, that called the tool, or before or after which the breakpoint stands. */
  node: z.string(),
  /** LangGraph's own id of the interrupt; it can come back when a node asks twice. */
  interruptId: z.string().optional(),
  /** LangGraph's id of the task, for an unknown effect: there is no interrupt that would name it. */
  task: z.string().optional(),
  /** What the node handed to `interrupt()`, or what is known of the effect. */
  value: json.optional(),
});
export type Question = z.infer<typeof question>;

/**
 * Of runs, threads and chains as they are stored. Goes up when what an earlier release would make of a record is wrong;
 * fields that it may pass over can be added without.
 */
export const RUN_RECORD_VERSION = 1;

/** A run as Redis holds it. Times are milliseconds since the epoch, by the clock of Redis. */
export const runRecord = z.object({
  version: z.literal(RUN_RECORD_VERSION),
  id: z.string(),
  tenant: z.string(),
  thread: z.string(),
  chain: z.string(),
  queue: z.string(),
  status: z.enum(runStatuses),
  request: runRequest,
  /** Tries so far, the one at work included. */
  attempt: z.int(),
  createdAt: z.int(),
  updatedAt: z.int(),
  startedAt: z.int().optional(),
  endedAt: z.int().optional(),
  /** Number of the newest event. */
  seq: z.int(),
  /** The checkpoint the run started from; empty when the thread had none. Absent before the first attempt. */
  base: z.string().optional(),
  /** The thread's head checkpoint when the run ended. */
  checkpoint: z.string().optional(),
  /** The agent's answer in words, when it gave one. */
  answer: z.string().optional(),
  /** That answer is the last message of the state, which has images or the like besides. */
  media: z.boolean(),
  error: runError.optional(),
  questions: z.array(question).optional(),
  /** The run that goes on with this one's work. */
  rerun: z.string().optional(),
  /** Milliseconds that it is kept after its end; 0 keeps it. */
  retention: z.int().optional(),
  /** Somebody asked the run to stop. */
  cancelRequested: z.boolean(),
  /** It has ended, and what it had written is taken back: shown only to who knows its id. */
  rolledBack: z.boolean(),
});
export type RunRecord = z.infer<typeof runRecord>;
