import { Refusal } from './contract/error.ts';
import { RUN_RECORD_VERSION, type RunRecord, type RunStatus, runRecord } from './contract/run.ts';
import { type ChainRecord, chainRecord, type ThreadRecord, threadRecord } from './contract/thread.ts';
import { type Keys, threadKey } from './keys.ts';
import { partitionOfRun, partitionOfThread } from './partition.ts';
import type { RedisConnection } from './redis.ts';
import type { Job } from './run-moves.ts';
import type { Scripts } from './scripts/index.ts';

/** How far a search looks back. */
const SEARCHED_RUNS = 1000;

/** A chain, and its newest run, as they stand at one moment. Times are milliseconds since the epoch. */
export interface ChainView {
  chain: ChainRecord;
  run: RunRecord;
  /** Runs of the thread that come before it; undefined when it is not, or no longer, in the mailbox. */
  before: number | undefined;
  /** The run's newest delivery: in the queue while it is ready and nobody has claimed it. */
  job: Job;
  /** When the thread goes with all that is in it, unless it is used; undefined when it is kept. */
  expiresAt: number | undefined;
  now: number;
}

/**
 * Looks at runs, threads and chains. What belongs to another tenant is not there.
 *
 * Every method rejects with the Refusal `unavailable` where a later release has stored what only it can read: while that
 * release takes over, another gateway can answer.
 */
export class RunReader {
  readonly #redis: RedisConnection;
  readonly #keys: Keys;
  readonly #scripts: Scripts;
  readonly #tidy: boolean;

  /** @param options.tidy whether lists are rid of what has expired when they are read; a replica takes no writes */
  constructor(redis: RedisConnection, keys: Keys, scripts: Scripts, options: { tidy?: boolean } = {}) {
    this.#redis = redis;
    this.#keys = keys;
    this.#scripts = scripts;
    this.#tidy = options.tidy ?? true;
  }

  /** @returns undefined when there is none, or it is another tenant's. */
  async run(tenant: string, runId: string): Promise<RunRecord | undefined> {
    const root = this.#rootOf(runId);
    if (!root) return undefined;
    const fields = await this.#redis.hgetall(this.#keys.run(root, runId));
    if (fields.tenant !== tenant) return undefined;
    checkVersion('run', fields);
    return runRecord.parse(decodeRun(fields));
  }

  /**
   * A thread's runs, newest first, without those that were rolled back.
   *
   * @param page.where only runs of which this is true; looked for among the newest {@link SEARCHED_RUNS}, by these fields
   *   alone, since a run's request can be large
   */
  async runsOfThread(
    tenant: string,
    thread: string,
    page: {
      limit: number;
      offset: number;
      where?: (run: Pick<RunRecord, 'status' | 'error'>) => boolean;
    },
  ): Promise<RunRecord[]> {
    const { limit, offset, where } = page;
    const root = this.#keys.root(partitionOfThread(thread));
    const key = this.#keys.threadRuns(root, threadKey(tenant, thread));
    const ids = where
      ? (await this.#search(root, key, where)).slice(offset, offset + limit)
      : await this.#newest(key, offset, limit);
    const runs = await Promise.all(ids.map((id) => this.run(tenant, id)));
    const expired = ids.filter((_, i) => !runs[i]);
    if (this.#tidy && expired.length > 0) await this.#redis.zrem(key, ...expired);
    return runs.filter((run) => run !== undefined);
  }

  /** Those that were rolled back have a score below 0. */
  #newest(key: string, offset: number, limit: number): Promise<string[]> {
    return this.#redis.zrevrangebyscore(key, '+inf', 0, 'LIMIT', offset, limit);
  }

  async #search(
    root: string,
    key: string,
    where: (run: Pick<RunRecord, 'status' | 'error'>) => boolean,
  ): Promise<string[]> {
    const ids = await this.#newest(key, 0, SEARCHED_RUNS);
    const found = await Promise.all(
      ids.map(async (id) => {
        const [status, error] = await this.#redis.hmget(this.#keys.run(root, id), 'status', 'error');
        return status && where({ status: status as RunStatus, error: error ? JSON.parse(error) : undefined });
      }),
    );
    return ids.filter((_, i) => found[i]);
  }

  /** @returns undefined when there is none, it is being deleted, or it is another tenant's. */
  async thread(tenant: string, thread: string): Promise<ThreadRecord | undefined> {
    const root = this.#keys.root(partitionOfThread(thread));
    const [flat, waiting] = (await this.#scripts.thread_view(root, threadKey(tenant, thread))) as [
      string[],
      number,
    ];
    const fields = Object.fromEntries(pairs(flat));
    if (!fields.id || fields.deleting) return undefined;
    checkVersion('thread', fields);
    const status =
      waiting > 0
        ? 'busy'
        : fields.parked
          ? 'interrupted'
          : fields.lastStatus === 'failed'
            ? 'error'
            : 'idle';
    return threadRecord.parse({
      id: fields.id,
      tenant: fields.tenant,
      status,
      createdAt: Number(fields.createdAt),
      updatedAt: Number(fields.updatedAt),
      metadata: {
        ...JSON.parse(fields.metadata ?? '{}'),
        ...(fields.graph && { graph_id: fields.graph, assistant_id: fields.assistant }),
      },
      parked: fields.parked,
      throwaway: fields.throwaway === '1',
    });
  }

  /** @returns undefined when there is none, or it is another tenant's. */
  async chain(tenant: string, chainId: string): Promise<ChainRecord | undefined> {
    const root = this.#rootOf(chainId);
    if (!root) return undefined;
    const fields = await this.#redis.hgetall(this.#keys.chain(root, chainId));
    if (fields.tenant !== tenant) return undefined;
    return decodeChain(fields);
  }

  /** How a chain stands, read as one. @returns undefined when there is none, or it is another tenant's. */
  async chainView(tenant: string, chainId: string): Promise<ChainView | undefined> {
    const root = this.#rootOf(chainId);
    if (!root) return undefined;
    const [chainFields = [], runFields = [], before, jobId, expiresAt, now] = (await this.#scripts.chain_view(
      root,
      chainId,
    )) as [string[], string[], number?, string?, string?, number?];
    const chain = Object.fromEntries(pairs(chainFields));
    const fields = Object.fromEntries(pairs(runFields));
    if (chain.tenant !== tenant || fields.tenant !== tenant) return undefined;
    checkVersion('run', fields);
    const run = runRecord.parse(decodeRun(fields));
    return {
      chain: decodeChain(chain),
      run,
      before: before === undefined || before < 0 ? undefined : before,
      job: { id: jobId ?? '', queue: run.queue },
      expiresAt: expiresAt ? Number(expiresAt) : undefined,
      now: now ?? 0,
    };
  }

  #rootOf(runId: string): string | undefined {
    const partition = partitionOfRun(runId);
    return partition === undefined ? undefined : this.#keys.root(partition);
  }
}

function decodeChain(fields: Record<string, string>): ChainRecord {
  checkVersion('chain', fields);
  const questions = JSON.parse(fields.questions ?? '[]') as { id: string }[];
  return chainRecord.parse({
    ...fields,
    questions,
    kept: questions.map((one) => one.id).filter((id) => `kept:${id}` in fields),
    createdAt: toNumber(fields.createdAt),
    updatedAt: toNumber(fields.updatedAt),
  });
}

function checkVersion(what: string, { id, version }: Record<string, string>): void {
  if (Number(version ?? RUN_RECORD_VERSION) <= RUN_RECORD_VERSION) return;
  throw new Refusal(
    'unavailable',
    `The ${what} ${id} was stored by a later release, in version ${version} of its records; ` +
      `this one reads ${RUN_RECORD_VERSION}. Try again`,
    { retryAfterSeconds: 1 },
  );
}

function toNumber(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

function decodeRun(fields: Record<string, string>): unknown {
  const parsed = (text: string | undefined) => (text === undefined ? undefined : JSON.parse(text));
  return {
    ...fields,
    version: toNumber(fields.version),
    request: parsed(fields.request),
    attempt: toNumber(fields.attempt),
    createdAt: toNumber(fields.createdAt),
    updatedAt: toNumber(fields.updatedAt),
    startedAt: toNumber(fields.startedAt),
    endedAt: toNumber(fields.endedAt),
    seq: toNumber(fields.seq),
    retention: toNumber(fields.retention),
    error: parsed(fields.error),
    questions: parsed(fields.questions),
    media: fields.media !== undefined,
    cancelRequested: fields.cancel !== undefined,
    rolledBack: fields.cancel === 'rollback' && fields.endedAt !== undefined,
  };
}

/** Redis's flat list of names and values, two by two. */
export function pairs(flat: string[]): [string, string][] {
  const result: [string, string][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) result.push([flat[i] ?? '', flat[i + 1] ?? '']);
  return result;
}
