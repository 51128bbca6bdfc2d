import { Refusal } from '@millrace/shared/contract/error';
import type { Logger } from '@millrace/shared/logger';
import type { OpenLoad } from '@millrace/shared/open-runs';
import { Reading } from './reading.ts';
import { Tally } from './tally.ts';

/** How much may be at hand before submits are refused; 0 sets no limit. */
export interface CapacityLimits {
  /** Runs that have not ended, of all tenants. */
  openRuns: number;
  openRunsPerTenant: number;
  /** Bytes of their requests. */
  queuedBytes: number;
  /** Of the `maxmemory` of Redis: at the limit itself it refuses ends as well. */
  memoryPercent: number;
}

export const NO_LIMITS: CapacityLimits = {
  openRuns: 0,
  openRunsPerTenant: 0,
  queuedBytes: 0,
  memoryPercent: 0,
};

/** Where the numbers come from. */
export interface CapacitySource {
  load: () => Promise<OpenLoad>;
  ofTenant: (tenant: string) => Promise<number>;
  /** From 0 to 1. */
  memory: () => Promise<number>;
}

export type Load = OpenLoad & { memory: number };

export const shedReasons = ['tenant_runs', 'runs', 'bytes', 'memory'] as const;
export type ShedReason = (typeof shedReasons)[number];

/** A run that was let in. To be settled when the store has answered, or failed to. */
export interface Admission {
  /** @param stored false when the store has surely not taken it as a new run */
  settle: (stored: boolean) => void;
}

/** Retry-After is from 1 to 60 seconds; up to a quarter of it is chance, so that not all come back at once. */
const LONGEST_WAIT_S = 48;
const JITTER = 0.25;

/**
 * Says whether there is room for a new run, by numbers that are at most a second old.
 *
 * What this gateway lets in it counts at once; what others let in it sees with the next reading. So a limit can be
 * overshot by what all other gateways accept in one second (and in the time that a submit takes), each no more than the
 * room it saw, plus the answers, edits and deletions, which are never refused; the bytes by one request more, and the
 * memory by what is accepted in a second. A single gateway overshoots the numbers of runs by no more than the rest of a
 * batch it is letting in.
 *
 * While Redis cannot be read, the last reading holds for ten seconds, and then nothing is refused here: the submit
 * itself will find out.
 */
export class Capacity {
  readonly limits: CapacityLimits;
  /** How many submits were refused, by reason. */
  readonly shed = new Map<ShedReason, number>(shedReasons.map((reason) => [reason, 0]));
  readonly #source: CapacitySource;
  readonly #logger: Logger;
  readonly #runs = new Tally();
  readonly #bytes = new Tally();
  readonly #load: Reading<Load>;
  /** As many as there are API keys, so never cleared. */
  readonly #tenants = new Map<string, { runs: Tally; reading: Reading<number> }>();

  constructor(source: CapacitySource, limits: CapacityLimits, logger: Logger) {
    this.#source = source;
    this.limits = limits;
    this.#logger = logger;
    this.#load = this.#reading(async () => {
      const marks = [this.#runs.mark(), this.#bytes.mark()] as const;
      const [load, memory] = await Promise.all([source.load(), source.memory()]);
      this.#runs.update(load.runs, marks[0]);
      this.#bytes.update(load.bytes, marks[1]);
      return { ...load, memory };
    });
  }

  /** What was read last, a second ago at most; undefined while Redis cannot be read. */
  load(): Promise<Load | undefined> {
    return this.#load.get();
  }

  /**
   * Lets a run in, or refuses it.
   *
   * @param asked.bytes of its request
   * @param asked.runs how many there must be room for; only one is let in
   * @throws Refusal `too_many_runs` when the tenant has too much, `overloaded` when all have together
   */
  async admit(tenant: string, asked: { bytes: number; runs: number }): Promise<Admission> {
    const { openRuns, openRunsPerTenant, queuedBytes, memoryPercent } = this.limits;
    const own = this.#tenant(tenant);
    const [load, known] = await Promise.all([
      openRuns || openRunsPerTenant || queuedBytes || memoryPercent ? this.#load.get() : undefined,
      openRunsPerTenant ? own.reading.get() : undefined,
    ]);
    // From here on nothing is awaited: who looks also takes.
    if (openRunsPerTenant && known !== undefined) {
      const excess = own.runs.value + asked.runs - openRunsPerTenant;
      // Of the runs that end, its share are the tenant's.
      const share = load && load.runs > 0 ? Math.min(1, known / load.runs) : 1;
      if (excess > 0) throw this.#refuse('tenant_runs', excess, (load?.endedPerSecond ?? 0) * share);
    }
    if (load) {
      const runs = this.#runs.value + asked.runs - openRuns;
      if (openRuns && runs > 0) throw this.#refuse('runs', runs, load.endedPerSecond);
      const bytes = this.#bytes.value - queuedBytes;
      if (queuedBytes && bytes >= 0) {
        throw this.#refuse(
          'bytes',
          bytes + asked.bytes,
          load.endedPerSecond * (load.bytes / (load.runs || 1)),
        );
      }
      // What ends stays stored for a while: no pace says when there will be room.
      if (memoryPercent && load.memory * 100 >= memoryPercent) throw this.#refuse('memory', 1, 0);
    }
    return this.take(tenant, asked.bytes);
  }

  /** Lets a run in without a look: there was room for it when the first of its batch asked. */
  take(tenant: string, bytes: number): Admission {
    const parts = [
      [this.#runs, 1],
      [this.#tenant(tenant).runs, 1],
      [this.#bytes, bytes],
    ] as const;
    for (const [tally, amount] of parts) tally.admit(amount);
    return {
      settle: (stored) => {
        for (const [tally, amount] of parts) tally.settle(amount, stored);
      },
    };
  }

  #tenant(tenant: string) {
    let own = this.#tenants.get(tenant);
    if (!own) {
      const runs = new Tally();
      const reading = this.#reading(async () => {
        const mark = runs.mark();
        const count = await this.#source.ofTenant(tenant);
        runs.update(count, mark);
        return count;
      });
      own = { runs, reading };
      this.#tenants.set(tenant, own);
    }
    return own;
  }

  #reading<T>(read: () => Promise<T>): Reading<T> {
    return new Reading(read, (error) =>
      this.#logger.warn({ err: error }, 'the load cannot be read; submits are judged by what was last known'),
    );
  }

  /** @param excess what must go before there is room, @param pace how much of it goes in a second */
  #refuse(reason: ShedReason, excess: number, pace: number): Refusal {
    this.shed.set(reason, (this.shed.get(reason) ?? 0) + 1);
    const wait = Math.min(LONGEST_WAIT_S, Math.max(1, pace > 0 ? excess / pace : LONGEST_WAIT_S));
    const retryAfterSeconds = Math.ceil(wait * (1 + JITTER * Math.random()));
    if (reason === 'tenant_runs') {
      const most = this.limits.openRunsPerTenant;
      return new Refusal(
        'too_many_runs',
        `No more than ${most} runs may be unfinished at a time; wait for some to end, or cancel some`,
        { retryAfterSeconds },
      );
    }
    return new Refusal('overloaded', 'There is no room for more work just now; try again later', {
      retryAfterSeconds,
    });
  }
}
