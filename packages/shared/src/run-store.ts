import { Chains } from './chains.ts';
import { claimResult, toJob } from './claim-reply.ts';
import type { EndEvent, NewEvent } from './contract/event.ts';
import { RUN_RECORD_VERSION } from './contract/run.ts';
import { DeadLetters } from './dead-letters.ts';
import { Effects } from './effects.ts';
import { envelopeOf, IDEMPOTENCY_MS, idempotencyId } from './envelope.ts';
import { groupBy } from './group-by.ts';
import { KeptAnswers } from './kept-answers.ts';
import { Keys, threadKey } from './keys.ts';
import { OpenRuns } from './open-runs.ts';
import { Outbox } from './outbox.ts';
import { newRunId, partitionOfRun, partitionOfThread } from './partition.ts';
import { QueuePace } from './queue-pace.ts';
import type { RedisConnection } from './redis.ts';
import type { Replication } from './replication.ts';
import type {
  CancelAction,
  CancelResult,
  ClaimResult,
  Finish,
  HoldResult,
  Job,
  Lease,
  Retention,
  Submission,
  SubmitResult,
} from './run-moves.ts';
import { pairs, RunReader } from './run-reader.ts';
import { loadScripts, type Script, type Scripts } from './scripts/index.ts';
import { ThreadExpiry } from './thread-expiry.ts';
import { ThreadStore } from './thread-store.ts';

/**
 * Runs and chains in Redis: every move of the state machine, each one atomic script. `read` looks at them, `threads`
 * makes their threads, `outbox` has those that are ready, `open` counts those that have not ended, `pace` knows how fast
 * they end, `dead` has those that may be run again, `chains` lists a tenant's, `effects` are what their tools did, `answers` keeps those that wait for others,
 * and `expiry` removes unused threads.
 *
 * Every method rejects with ioredis's error when Redis cannot be reached; what it was to do may then have
 * happened or not, and may be asked again.
 */
export class RunStore {
  readonly keys: Keys;
  readonly read: RunReader;
  readonly threads: ThreadStore;
  readonly outbox: Outbox;
  readonly open: OpenRuns;
  readonly pace: QueuePace;
  readonly dead: DeadLetters;
  readonly chains: Chains;
  readonly effects: Effects;
  readonly answers: KeptAnswers;
  readonly expiry: ThreadExpiry;
  readonly retention: Retention;
  readonly #redis: RedisConnection;
  readonly #scripts: Scripts;
  readonly #replication: Replication | undefined;
  readonly #accept: Script;

  constructor(
    redis: RedisConnection,
    options: { keys?: Keys; retention?: Retention; replication?: Replication | undefined } = {},
  ) {
    this.keys = options.keys ?? new Keys();
    this.#redis = redis;
    this.#scripts = loadScripts(redis, this.keys.prefix);
    this.read = new RunReader(redis, this.keys, this.#scripts);
    this.outbox = new Outbox(redis, this.keys, this.#scripts);
    this.open = new OpenRuns(redis, this.keys, this.#scripts);
    this.pace = new QueuePace(redis, this.keys, this.#scripts);
    this.effects = new Effects(this.keys, this.#scripts);
    this.answers = new KeptAnswers(this.keys, this.#scripts);
    this.expiry = new ThreadExpiry(this.keys, this.#scripts);
    this.dead = new DeadLetters(redis, this.keys, this.#scripts, this.read);
    this.chains = new Chains(redis, this.keys, this.#scripts, this.read);
    this.#replication = options.replication;
    this.#accept = this.#replication
      ? loadScripts(this.#replication.redis, this.keys.prefix).submit
      : this.#scripts.submit;
    this.retention = options.retention ?? {
      runsMs: 24 * 3600_000,
      runsKept: 1000,
      threadsMs: 30 * 24 * 3600_000,
    };
    this.threads = new ThreadStore(this.keys, this.#scripts, this.retention);
  }

  /**
   * Accepts a run, once per idempotency key. Ring `job`, if any: the sweeper will otherwise, later.
   *
   * @throws NotReplicated when replicas are to be waited for, and they have not heard of the run in time. It is stored, and
   *   will run, if this Redis lives on
   */
  async submit(s: Submission): Promise<SubmitResult> {
    const partition = partitionOfThread(s.thread);
    const envelope = {
      ...envelopeOf(s, this.retention),
      run: newRunId(partition),
      turn: newRunId(partition),
    };
    const reply = (await this.#accept(
      this.keys.root(partition),
      JSON.stringify(envelope),
      JSON.stringify(s.request),
      JSON.stringify(s.threadMetadata ?? {}),
    )) as [SubmitResult['outcome'], string, string[], string?, string?];
    if (reply[0] !== 'accepted') return { outcome: reply[0] };
    await this.#replication?.reached();
    const [, runId, job, repeated, fence] = reply;
    return {
      outcome: 'accepted',
      runId,
      job: toJob(job),
      repeated: repeated === 'repeated',
      fence: fence ? Number(fence) : undefined,
    };
  }

  /**
   * Takes the lease of a run's thread.
   *
   * @param store what the caller knows of the checkpoint store: its fence token, and its head if it has looked
   * @param alone the run would have the worker's process to itself
   */
  async claim(
    runId: string,
    by: { worker: string; nonce: string; leaseMs: number; crashBudget: number },
    store: { token: number; head?: string | undefined },
    alone = false,
  ): Promise<ClaimResult> {
    const root = this.#rootOf(runId);
    if (!root) return { outcome: 'over' };
    const reply = (await this.#scripts.claim(
      root,
      runId,
      by.worker,
      by.nonce,
      by.leaseMs,
      by.crashBudget,
      store.token,
      store.head ?? '?',
      alone ? '1' : '',
      RUN_RECORD_VERSION,
    )) as [string, ...unknown[]];
    return claimResult(reply, runId, by.nonce);
  }

  /** Notes from which checkpoint the run started (`base`, kept from the first attempt) and goes on (`head`). */
  async begin(runId: string, lease: Lease, from: { base: string; head: string }): Promise<'ok' | 'lost'> {
    return (await this.#scripts.begin(
      this.#mustRoot(runId),
      runId,
      lease.token,
      lease.nonce,
      from.base,
      from.head,
    )) as 'ok' | 'lost';
  }

  /**
   * @param firstOrdinal counts a lease's events from 1; a re-sent call with the same one changes nothing, and where those
   *   before it are missing it is `lost`
   */
  async emit(runId: string, lease: Lease, firstOrdinal: number, events: NewEvent[]): Promise<HoldResult> {
    return (await this.#scripts.emit(
      this.#mustRoot(runId),
      runId,
      lease.token,
      lease.nonce,
      firstOrdinal,
      ...events.flatMap((event) => [event.name, event.data]),
    )) as HoldResult;
  }

  /**
   * Renews leases, one script per partition, all sent at once. Results are in the order of `held`.
   *
   * @param held.events how many events of this lease are known to be stored: with fewer it is `lost`
   */
  async renew(
    leaseMs: number,
    held: {
      runId: string;
      lease: Lease;
      events?: number;
      usedMs: number;
      baseStep?: number | undefined;
    }[],
  ): Promise<HoldResult[]> {
    const byRoot = groupBy(held, (one) => this.#mustRoot(one.runId));
    const results = new Map<string, HoldResult>();
    await Promise.all(
      [...byRoot].map(async ([root, group]) => {
        const args = group.flatMap((h) => [
          h.runId,
          h.lease.token,
          h.lease.nonce,
          h.events ?? 0,
          h.usedMs,
          h.baseStep ?? '',
        ]);
        const reply = (await this.#scripts.renew(root, leaseMs, ...args)) as HoldResult[];
        group.forEach((one, i) => {
          results.set(one.runId, reply[i] ?? 'lost');
        });
      }),
    );
    return held.map((one) => results.get(one.runId) ?? 'lost');
  }

  /**
   * Ends a run. Not won when another holder's end stands; the winner that repeats the call hears `won` again.
   *
   * @param eventsStored how many events of this lease are known to be stored: with fewer it is not won
   */
  async finish(
    runId: string,
    lease: Lease,
    end: Finish,
    eventsStored = 0,
  ): Promise<{ won: boolean; job: Job | undefined }> {
    const event: EndEvent = { status: end.status, ...(end.error && { error: end.error }) };
    const questions = end.questions ?? [];
    const fields: string[] = [];
    if (end.checkpoint !== undefined) fields.push('checkpoint', end.checkpoint);
    if (end.answer !== undefined) fields.push('answer', end.answer);
    if (end.media) fields.push('media', '1');
    if (end.error) fields.push('error', JSON.stringify(end.error));
    if (questions.length > 0) fields.push('questions', JSON.stringify(questions));
    const reply = (await this.#scripts.finish(
      this.#mustRoot(runId),
      runId,
      lease.token,
      lease.nonce,
      eventsStored,
      end.status,
      JSON.stringify(event),
      JSON.stringify(questions),
      JSON.stringify(questions.map((one) => one.id)),
      end.whole ? '1' : '',
      ...fields,
    )) as ['won' | 'lost', string[]?];
    return { won: reply[0] === 'won', job: toJob(reply[1]) };
  }

  /** Gives an unfinished run back for another worker, after `delayMs`. Costs no crash. */
  async handBack(
    runId: string,
    lease: Lease,
    options: { delayMs: number; usedMs: number; baseStep?: number | undefined },
  ): Promise<{ won: boolean; job: Job | undefined }> {
    const reply = (await this.#scripts.hand_back(
      this.#mustRoot(runId),
      runId,
      lease.token,
      lease.nonce,
      options.delayMs,
      options.usedMs,
      options.baseStep ?? '',
    )) as ['won' | 'lost', string[]?];
    return { won: reply[0] === 'won', job: toJob(reply[1]) };
  }

  /**
   * Asks a run to stop; with `rollback`, also for what it has written to be taken back.
   *
   * - `ended`: it was waiting or its worker is gone, and has ended now; `fence`, when given, is the token to
   *   raise at the checkpoint store, so that a worker that comes back finds it closed too
   * - `asked`: it is at work, and will end soon
   * - `over`: it had ended before
   * - `behind`: it is parked and cannot be taken back, since another run has written to the thread after it
   *
   * `turn` is the run that takes back, if there is one: the thread is as it was before when that has ended.
   */
  async cancel(runId: string, action: CancelAction = 'interrupt'): Promise<CancelResult> {
    const partition = partitionOfRun(runId);
    if (partition === undefined)
      return { outcome: 'gone', job: undefined, fence: undefined, turn: undefined };
    const [outcome, job, fence, turn] = (await this.#scripts.cancel(
      this.keys.root(partition),
      runId,
      action,
      newRunId(partition),
    )) as [CancelResult['outcome'], string[], string, string];
    return { outcome, job: toJob(job), fence: fence ? Number(fence) : undefined, turn: turn || undefined };
  }

  /** What time alone brings about in one partition: runs that come due, leases that ran out, jobs unrung. */
  async sweep(
    partition: number,
    options: { limit: number; ringAfterMs: number },
  ): Promise<{ jobs: Job[]; expiredThreads: { tenant: string; thread: string }[] }> {
    const root = this.keys.root(partition);
    const [jobs, threads] = (await this.#scripts.sweep(
      root,
      options.limit,
      options.ringAfterMs,
    )) as string[][];
    return {
      jobs: pairs(jobs ?? []).map(([id, queue]) => ({ id, queue })),
      expiredThreads: pairs(threads ?? []).map(([tenant, thread]) => ({ tenant, thread })),
    };
  }

  /** The run that an earlier submit with this idempotency key made; `conflict` when that was another request. */
  async repeated(
    tenant: string,
    thread: string,
    idempotency: { key: string; bodyHash: string },
  ): Promise<{ runId: string } | 'conflict' | undefined> {
    const key = this.keys.idempotency(
      this.keys.root(partitionOfThread(thread)),
      idempotencyId(threadKey(tenant, thread), idempotency.key),
    );
    const [runId, hash] = await this.#redis.hmget(key, 'run', 'hash');
    if (!runId) return undefined;
    if (this.#replication) {
      // Whoever accepted it may have waited in vain, so it is waited for again, which takes a write.
      await this.#replication.redis.pexpire(key, IDEMPOTENCY_MS);
      await this.#replication.reached();
    }
    return hash === idempotency.bodyHash ? { runId } : 'conflict';
  }

  #rootOf(runId: string): string | undefined {
    const partition = partitionOfRun(runId);
    return partition === undefined ? undefined : this.keys.root(partition);
  }

  #mustRoot(runId: string): string {
    const root = this.#rootOf(runId);
    if (!root) throw new Error(`Not a run id: ${runId}`);
    return root;
  }
}
