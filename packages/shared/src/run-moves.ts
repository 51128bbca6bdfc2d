import type { Effect } from './contract/effect.ts';
import type { RunError } from './contract/error.ts';
import type { JsonObject } from './contract/json.ts';
import type { EndStatus, MultitaskStrategy, Question, RunRequest } from './contract/run.ts';

/** A ready run's place in the queue: what {@link Doorbell} adds to BullMQ. */
export interface Job {
  /** `<run id>-<delivery>`. */
  id: string;
  queue: string;
}

/** The right to write to a thread, as a holder proves it. */
export interface Lease {
  token: number;
  nonce: string;
}

export interface Submission {
  tenant: string;
  thread: string;
  /** Make the thread when there is none; otherwise that is `no_thread`. */
  createThread: boolean;
  /** The thread is made for this run and goes with it. */
  throwaway?: boolean;
  threadMetadata?: JsonObject;
  request: RunRequest;
  queue: string;
  multitask: MultitaskStrategy;
  /** Milliseconds before the run takes its place in the mailbox. */
  afterMs?: number;
  /** The chain whose questions `request.answers` answers; the thread's parked one when absent. */
  chain?: string;
  /** A dead run whose work this one goes on with, in its chain; once, however often it is submitted. */
  rerun?: string;
  idempotency?: { key: string; bodyHash: string };
}

export type SubmitResult =
  | {
      outcome: 'accepted';
      runId: string;
      job: Job | undefined;
      repeated: boolean;
      /** A run was stopped whose worker is gone, or believed so: the token to raise at the checkpoint store. */
      fence: number | undefined;
    }
  | {
      /**
       * `incomplete`: the open questions can only be answered together. `moved`: the thread has had other runs since the
       * one to be run again.
       */
      outcome: 'conflict' | 'no_thread' | 'busy' | 'stale' | 'incomplete' | 'moved';
    };

export interface Claim {
  outcome: 'claimed';
  lease: Lease;
  runId: string;
  attempt: number;
  tenant: string;
  thread: string;
  chain: string;
  /** Undefined before the first attempt has begun; empty when the thread had no checkpoint then. */
  base: string | undefined;
  request: RunRequest;
  /** Milliseconds that earlier attempts executed. */
  usedMs: number;
  /** LangGraph's step of the checkpoint the run started from, once an attempt has lived long enough to note it. */
  baseStep: number | undefined;
  /** Milliseconds since the epoch, by Redis. */
  createdAt: number;
  startedAt: number;
  /** For a `rollback`: the run to take back. */
  target: string | undefined;
  /** Calls of tools that must not be repeated, of the step that the chain's runs did last. */
  effects: Effect[];
}

export type ClaimResult =
  | Claim
  /** Over, not its turn, or held by a worker that is alive: nothing to do. */
  | { outcome: 'over' | 'not_head' | 'leased' }
  /** Stored by a later release, whose workers can read it. */
  | { outcome: 'later' }
  /** It has crashed so often that it gets one more try, alone in its worker: claim again when it would be. */
  | { outcome: 'last_try' }
  /** Its last holder is gone: look at the thread in the checkpoint store, and claim again with what is there. */
  | { outcome: 'look'; tenant: string; thread: string }
  /**
   * The run was ended in place of its holder (crash budget, cancelled), by this very claim if `here`; the next one of the
   * thread may be ready. The token is to be raised at the checkpoint store, so that a holder that comes back finds it closed.
   */
  | { outcome: 'ended'; job: Job | undefined; token: number; tenant: string; thread: string; here: boolean };

/** `rollback`: what the run has written is taken back, as if it had never been. */
export type CancelAction = 'interrupt' | 'rollback';

/** See `RunStore.cancel`. */
export interface CancelResult {
  outcome: 'ended' | 'asked' | 'over' | 'gone' | 'behind';
  job: Job | undefined;
  fence: number | undefined;
  turn: string | undefined;
}

/** `cancel`: the write was taken, and somebody asked the run to stop. */
export type HoldResult = 'ok' | 'lost' | 'cancel';

export interface Finish {
  status: EndStatus;
  /** The head checkpoint the outcome was read from. */
  checkpoint?: string;
  answer?: string;
  /** The message that is the answer has more than words. */
  media?: boolean;
  error?: RunError;
  questions?: Question[];
  /** The questions can only be answered together. */
  whole?: boolean;
}

export interface Retention {
  /** Milliseconds that ended runs and their events are kept, and a thread that was made for one run; 0 keeps. */
  runsMs: number;
  /** Newest ended runs kept of each thread, however young; 0 sets no limit. */
  runsKept: number;
  /** Milliseconds after its last use that a thread is kept; 0 keeps. */
  threadsMs: number;
}
