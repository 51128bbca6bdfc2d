import type { Claim } from '@millrace/shared/run-moves';
import { noTracing, type Span } from '@millrace/shared/tracing';

/**
 * Why an attempt stops before the graph is through.
 *
 * - `lost`: another worker has the thread, or Redis has forgotten us or what we wrote: write nothing, leave
 * - `cancelled`: somebody asked for it
 * - `timeout`: the run's time is used up
 * - `drain`: this worker is leaving; the run goes on elsewhere
 * - `asks`: a person must be asked before it goes on
 * - `refused`: Redis takes no writes for now; the run goes on later
 */
export type StopReason = 'lost' | 'cancelled' | 'timeout' | 'drain' | 'asks' | 'refused';

/** What the drain of a worker needs of LangGraph's `RunControl`: stop after the step at work. */
export interface Drainable {
  requestDrain: (reason?: string) => void;
}

/** One worker's try at a run: the claim it holds, and how to stop it. */
export class Attempt {
  readonly claim: Claim;
  readonly progressed: () => void;
  readonly #abort = new AbortController();
  readonly #startedAt = performance.now();
  #reason: StopReason | undefined;
  #control: Drainable | undefined;
  #drainWanted = false;
  #baseStep: number | undefined;
  /** How many of its events are known to be stored. */
  eventsStored = 0;
  /** What its work is part of. */
  span: Span = noTracing.start('');

  /** @param progressed to be called when a checkpoint of this attempt is stored */
  constructor(claim: Claim, progressed: () => void = () => undefined) {
    this.claim = claim;
    this.progressed = progressed;
    this.#baseStep = claim.baseStep;
  }

  get runId(): string {
    return this.claim.runId;
  }

  /** Aborts when the attempt is to stop; handed to models and tools. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Set once; the first reason stands. */
  get stopReason(): StopReason | undefined {
    return this.#reason;
  }

  /** Milliseconds the run has executed, over all its attempts. */
  get usedMs(): number {
    return Math.round(this.claim.usedMs + performance.now() - this.#startedAt);
  }

  /** LangGraph's step from which this run's own steps count; kept from the attempt that found it first. */
  get baseStep(): number | undefined {
    return this.#baseStep;
  }

  startsAt(step: number): void {
    this.#baseStep ??= step;
  }

  stop(reason: StopReason): void {
    if (this.#reason) return;
    this.#reason = reason;
    this.#abort.abort(new DOMException(`The run was stopped: ${reason}`, 'AbortError'));
  }

  /** Asks the graph to stop after the step at work, so that nothing finished is lost. */
  drain(): void {
    this.#drainWanted = true;
    this.#control?.requestDrain('the worker is leaving');
  }

  /** The graph is about to run under this control. */
  controlledBy(control: Drainable): void {
    this.#control = control;
    if (this.#drainWanted) control.requestDrain('the worker is leaving');
  }
}
