import type { RunnableConfig } from '@langchain/core/runnables';
import {
  BaseCheckpointSaver,
  type ChannelVersions,
  type Checkpoint,
  type CheckpointListOptions,
  type CheckpointMetadata,
  type CheckpointTuple,
  copyCheckpoint,
  type DeltaChannelHistory,
  getCheckpointId,
  type PendingWrite,
  type SerializerProtocol,
  WRITES_IDX_MAP,
} from '@langchain/langgraph-checkpoint';
import { blobField, encodeValue, writeField } from './codec.ts';
import type { CheckpointDescription } from './description.ts';
import { touchThread } from './expiry.ts';
import { assertLease, FenceError, type Lease } from './fence.ts';
import { encodePart } from './keys.ts';
import { deltaChannels, ownerOf } from './lineage.ts';
import { CHUNK, FENCE_MS, REMOVE_THREAD } from './removal.ts';
import { loadScript, type RedisClient, runScript, type Script, type ScriptArgument } from './scripts.ts';
import { type Before, CheckpointStore, matchesMetadata, type StoredCheckpoint } from './store.ts';

const PUT = loadScript('put', 'guard', 'removal', 'journal');
const PUT_WRITES = loadScript('put-writes', 'guard', 'removal', 'journal');
const ANNOTATE = loadScript('annotate', 'guard');
const ROLLBACK = loadScript('rollback', 'guard', 'removal');

export interface RedisSaverOptions {
  /** First part of every key; no braces. Default `checkpoint`. */
  prefix?: string | undefined;
  /** Qualifies thread ids in keys (for example with a tenant) without showing up in `thread_id`. Default: none. */
  namespace?: string | undefined;
  /** How many checkpoints to keep per thread and checkpoint namespace, besides pinned ones; 0 keeps all. Default 100. */
  keepCheckpoints?: number | undefined;
  /** Default: LangGraph's JSON serializer. */
  serde?: SerializerProtocol | undefined;
  /** The right to write. Without it the saver writes only to threads that have no fence. */
  lease?: Lease | undefined;
  /**
   * Stored as `run_id` in the metadata of every checkpoint, whatever the caller's config says. What the newest run has
   * written can be taken back: see `rollback`.
   */
  runId?: string | undefined;
  /** Also stored in the metadata of every checkpoint. */
  metadata?: Record<string, unknown> | undefined;
  /**
   * Hears of each checkpoint and each task's results once they are stored, with the bytes of the values sent. Must not
   * throw.
   */
  onWrite?: ((bytes: number) => void) | undefined;
  /** Keep the index that `expireThreads` reads. Default false. */
  trackExpiry?: boolean | undefined;
}

export interface LeaseView {
  namespace?: string | undefined;
  lease: Lease;
  runId?: string | undefined;
  metadata?: Record<string, unknown> | undefined;
}

/**
 * LangGraph checkpoints on plain Redis ≥ 6.2 or Valkey.
 *
 * Every write rejects with `FenceError`, and changes nothing, unless the saver's lease is the one the thread's
 * fence names. A saver without a lease is refused on a thread that has a fence.
 */
export class RedisSaver extends BaseCheckpointSaver {
  readonly redis: RedisClient;
  readonly #options: RedisSaverOptions;
  readonly #store: CheckpointStore;
  readonly #keep: number;
  /** Writes under this saver's lease, by thread: how many were sent, and up to which one they are known to be stored. */
  readonly #writes = new Map<string, { sent: number; stored: number }>();

  constructor(redis: RedisClient, options: RedisSaverOptions = {}) {
    super(options.serde);
    const { keepCheckpoints = 100 } = options;
    if (!Number.isSafeInteger(keepCheckpoints) || keepCheckpoints < 0) {
      throw new RangeError(`keepCheckpoints must be 0 or a positive integer, got ${keepCheckpoints}`);
    }
    if (options.lease) assertLease(options.lease);
    this.redis = redis;
    this.#options = options;
    this.#keep = keepCheckpoints;
    this.#store = new CheckpointStore(redis, { ...options, serde: this.serde });
  }

  /** The same saver for one attempt at a run: another lease and run id on the same connection. */
  withLease({ namespace, lease, runId, metadata }: LeaseView): RedisSaver {
    return new RedisSaver(this.redis, {
      ...this.#options,
      serde: this.serde,
      namespace: namespace ?? this.#options.namespace,
      lease,
      runId,
      metadata,
    });
  }

  /**
   * The next version of a channel: the next integer plus a random fraction. Two branches of a forked thread count
   * from the same version, and with bare integers their values would overwrite each other.
   */
  override getNextVersion(current: number | undefined): number {
    return Math.floor(current ?? 0) + 1 + Math.floor(Math.random() * 2 ** 30) / 2 ** 30;
  }

  async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    const threadId: unknown = config.configurable?.thread_id;
    if (threadId === undefined) return undefined;
    const thread = requireString('thread_id', threadId);
    const stored = await this.#store.get(thread, namespaceOf(config), getCheckpointId(config));
    return stored && tupleOf(thread, stored);
  }

  /**
   * Newest first within a thread and checkpoint namespace, by the order of insertion (not by id: clocks are
   * skewed). Without a `thread_id` it walks all threads of the saver's namespace with SCAN.
   */
  async *list(config: RunnableConfig, options: CheckpointListOptions = {}): AsyncGenerator<CheckpointTuple> {
    const { filter = {} } = options;
    const { thread_id: threadId, checkpoint_ns: ns, checkpoint_id: id } = config.configurable ?? {};
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    if (left <= 0) return;
    const threads = threadId === undefined ? this.#store.threads() : [requireString('thread_id', threadId)];
    for await (const thread of threads) {
      const namespaces = ns === undefined ? await this.#store.namespaces(thread) : [String(ns)];
      for (const checkpointNs of namespaces) {
        for await (const stored of this.#select(thread, checkpointNs, id, options.before)) {
          if (!matchesMetadata(stored.metadata, filter)) continue;
          yield tupleOf(thread, stored);
          left -= 1;
          if (left <= 0) return;
        }
      }
    }
  }

  async put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const threadId = requireString('thread_id', config.configurable?.thread_id);
    const checkpointNs = namespaceOf(config);
    const { channel_values: values, ...bare } = copyCheckpoint(checkpoint);
    const versions = checkpoint.channel_versions;
    const stored = Object.keys(newVersions).filter((channel) => channel in versions && channel in values);
    const { runId, metadata: more } = this.#options;
    const [checkpointBytes, metadataBytes, blobs] = await Promise.all([
      encodeValue(this.serde, bare),
      encodeValue(this.serde, { ...metadata, ...more, ...(runId !== undefined && { run_id: runId }) }),
      Promise.all(
        stored.map(async (channel) => [
          blobField(channel, versions[channel] ?? ''),
          await encodeValue(this.serde, values[channel]),
        ]),
      ),
    ]);
    const fields = Object.entries(versions)
      .filter(([channel]) => channel in values || !isGraphs(channel))
      .map(([channel, version]) => blobField(channel, version));
    const delta = deltaChannels(metadata, values, newVersions);
    await Promise.all([
      this.#touch(threadId),
      this.#write(PUT, threadId, [
        runId ?? '',
        encodePart(checkpointNs),
        encodePart(checkpoint.id),
        encodePart(String(config.configurable?.checkpoint_id ?? '')),
        checkpointBytes,
        metadataBytes,
        checkpoint.v,
        this.#keep,
        ownerOf(checkpointNs, metadata),
        metadata.source === 'loop' ? '1' : '0',
        fields.length,
        ...fields,
        blobs.length,
        ...blobs.flat(),
        delta.length,
        ...delta,
      ]),
    ]);
    this.#options.onWrite?.(bytesOf([checkpointBytes, metadataBytes, ...blobs.flat()]));
    return configOf(threadId, checkpointNs, checkpoint.id);
  }

  /** Writes may come before their checkpoint does. A write that was stored is not replaced by a repeated one. */
  async putWrites(config: RunnableConfig, writes: PendingWrite[], taskId: string): Promise<void> {
    const threadId = requireString('thread_id', config.configurable?.thread_id);
    const checkpointId = requireString('checkpoint_id', config.configurable?.checkpoint_id);
    const encoded = await Promise.all(
      writes.map(async ([channel, value], place) => {
        const index = WRITES_IDX_MAP[channel] ?? place;
        const replaces = index < 0 ? '1' : '0';
        return [writeField(taskId, index), replaces, await encodeValue(this.serde, value, channel)];
      }),
    );
    await this.#write(PUT_WRITES, threadId, [
      this.#options.runId ?? '',
      encodePart(namespaceOf(config)),
      encodePart(checkpointId),
      ...encoded.flat(),
    ]);
    this.#options.onWrite?.(bytesOf(encoded.flat()));
  }

  /** Removes everything of the thread except its fence, in bounded steps. */
  async deleteThread(threadId: string): Promise<void> {
    while ((await this.#write(REMOVE_THREAD, threadId, [CHUNK, FENCE_MS])) === 1);
  }

  /**
   * Stores what readers without graph code need to know about a checkpoint. Resolves to false when the checkpoint
   * does not exist.
   */
  async describe(config: RunnableConfig, description: CheckpointDescription): Promise<boolean> {
    const threadId = requireString('thread_id', config.configurable?.thread_id);
    const checkpointId = requireString('checkpoint_id', config.configurable?.checkpoint_id);
    const tasks = description.tasks.map(({ id, name }) => ({ id, name }));
    const { defaults } = description;
    const value = { tasks, channels: [...description.channels], ...(defaults && { defaults }) };
    return this.#annotate(
      threadId,
      'describe',
      namespaceOf(config),
      checkpointId,
      JSON.stringify({ v: 1, value }),
    );
  }

  /** Keeps a root checkpoint from being pruned. Resolves to false when it does not exist. */
  async pin(threadId: string, checkpointId: string): Promise<boolean> {
    return this.#annotate(threadId, 'pin', '', checkpointId);
  }

  /** Resolves to false when the checkpoint was not pinned. */
  async unpin(threadId: string, checkpointId: string): Promise<boolean> {
    return this.#annotate(threadId, 'unpin', '', checkpointId);
  }

  /**
   * Takes back all that the thread's newest run has written, in all namespaces, in bounded steps; the run is that of
   * the savers (`runId`). Heads and pending writes of older checkpoints are again what they were before it, with the
   * first step, so that an interrupted rollback can be called again.
   *
   * Resolves to false, and changes nothing, when it was not that run that wrote last, or it is taken back already.
   */
  async rollback(threadId: string, runId: string): Promise<boolean> {
    let reply: unknown;
    do {
      reply = await this.#write(ROLLBACK, threadId, [runId, CHUNK]);
    } while (reply === 1);
    return reply === 0;
  }

  /** The checkpoint namespaces a thread has: `''` for the root graph, others for sub-graphs. */
  namespaces(threadId: string): Promise<string[]> {
    return this.#store.namespaces(threadId);
  }

  override async getDeltaChannelHistory(options: {
    config: RunnableConfig;
    channels: string[];
  }): Promise<Record<string, DeltaChannelHistory>> {
    const { config, channels } = options;
    if (channels.length === 0) return {};
    const threadId = requireString('thread_id', config.configurable?.thread_id);
    return this.#store.deltaHistory(threadId, namespaceOf(config), getCheckpointId(config), channels);
  }

  async *#select(
    threadId: string,
    checkpointNs: string,
    checkpointId: unknown,
    beforeConfig: RunnableConfig | undefined,
  ): AsyncGenerator<StoredCheckpoint> {
    const beforeId = beforeConfig && getCheckpointId(beforeConfig);
    const before: Before | undefined = beforeId
      ? { checkpointId: beforeId, checkpointNs: beforeConfig.configurable?.checkpoint_ns }
      : undefined;
    if (!checkpointId) {
      yield* this.#store.list(threadId, checkpointNs, before);
      return;
    }
    const stored = await this.#store.get(threadId, checkpointNs, String(checkpointId));
    if (stored && !(beforeId && stored.checkpointId >= beforeId)) yield stored;
  }

  async #annotate(threadId: string, action: string, ns: string, id: string, value = ''): Promise<boolean> {
    return (await this.#write(ANNOTATE, threadId, [action, encodePart(ns), encodePart(id), value])) === 1;
  }

  async #touch(threadId: string): Promise<void> {
    const { prefix, namespace, trackExpiry } = this.#options;
    if (trackExpiry) await touchThread(this.redis, { prefix, namespace, threadId });
  }

  async #write(script: Script, threadId: string, args: ScriptArgument[]): Promise<unknown> {
    const { lease } = this.#options;
    const writes = this.#writes.get(threadId) ?? { sent: 0, stored: 0 };
    if (lease) this.#writes.set(threadId, writes);
    writes.sent += 1;
    const number = writes.sent;
    const fence = [lease ? String(lease.token) : '', lease?.nonce ?? '', number, writes.stored];
    try {
      const reply = await runScript(this.redis, script, this.#store.key(threadId), [...fence, ...args]);
      // Sent in order on one connection, so those before it are stored as well.
      writes.stored = Math.max(writes.stored, number);
      return reply;
    } catch (error) {
      const [, held, back] = (error instanceof Error && /^FENCED (\d+)( BACK)?/.exec(error.message)) || [];
      if (held) throw new FenceError(threadId, lease?.token, Number(held), back !== undefined);
      throw error;
    }
  }
}

/**
 * Whether a channel is one by which LangGraph's nodes call each other. A graph that does not know it has passed over
 * it, and to go on keeping its value would be a call that is never answered. A value of the state is kept: the next
 * writer may be a graph that has it.
 */
function isGraphs(channel: string): boolean {
  return channel.startsWith('branch:') || channel.startsWith('join:');
}

function bytesOf(args: ScriptArgument[]): number {
  return args.reduce<number>((sum, one) => sum + (Buffer.isBuffer(one) ? one.byteLength : 0), 0);
}

function requireString(name: string, value: unknown): string {
  if (typeof value === 'string') return value;
  throw new TypeError(`The config's configurable needs a "${name}" that is a string, got ${typeof value}`);
}

function namespaceOf(config: RunnableConfig): string {
  return String(config.configurable?.checkpoint_ns ?? '');
}

function configOf(threadId: string, checkpointNs: string, checkpointId: string): RunnableConfig {
  return {
    configurable: { thread_id: threadId, checkpoint_ns: checkpointNs, checkpoint_id: checkpointId },
  };
}

function tupleOf(threadId: string, stored: StoredCheckpoint): CheckpointTuple {
  const { checkpointNs, checkpointId, parentCheckpointId, checkpoint, metadata, pendingWrites } = stored;
  const tuple: CheckpointTuple = {
    config: configOf(threadId, checkpointNs, checkpointId),
    checkpoint,
    metadata,
    pendingWrites,
  };
  if (parentCheckpointId !== undefined) {
    tuple.parentConfig = configOf(threadId, checkpointNs, parentCheckpointId);
  }
  return tuple;
}
