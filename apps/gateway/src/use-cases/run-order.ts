import type { Json, JsonObject } from '@millrace/shared/contract/json';
import type { MultitaskStrategy, RunKind } from '@millrace/shared/contract/run';
import type { StreamMode } from '@millrace/shared/contract/stream-mode';
import type { Span } from '@millrace/shared/tracing';
import type { Batch } from './admit.ts';

/** A run as a face asks for it. */
export interface RunOrder {
  tenant: string;
  /** Of the HTTP request that brings the order. */
  requestId?: string | undefined;
  /** Of the work that brings it; its trace goes on with the run. */
  span?: Span | undefined;
  /** Assistant id or graph name. */
  assistant: string;
  kind?: RunKind;
  /** Absent: a thread of its own. */
  thread?: string | undefined;
  /** Make a named thread that does not exist; otherwise that is `not_found`. */
  createThread?: boolean;
  /** A thread made for this run goes with it. */
  throwaway?: boolean;
  threadMetadata?: JsonObject;
  input?: Json | undefined;
  command?: { resume?: Json | undefined; update?: Json | undefined; goto?: Json | undefined } | undefined;
  /** Answers by question id, for faces that show the ids. */
  answers?: Record<string, Json> | undefined;
  /** The chain that `answers` is for. */
  chain?: string | undefined;
  config?: { configurable?: JsonObject | undefined; tags?: string[] | undefined } | undefined;
  context?: JsonObject | undefined;
  metadata?: JsonObject | undefined;
  streamModes: StreamMode[];
  streamSubgraphs?: boolean | undefined;
  interruptBefore?: '*' | string[] | undefined;
  interruptAfter?: '*' | string[] | undefined;
  recursionLimit?: number | undefined;
  timeoutMs?: number | undefined;
  checkpointId?: string | undefined;
  asNode?: string | undefined;
  multitask?: MultitaskStrategy | undefined;
  afterMs?: number | undefined;
  idempotency?: { key: string; body: unknown } | undefined;
  /** The request asks for other runs besides. */
  batch?: Batch | undefined;
}
