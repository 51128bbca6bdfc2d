import { isDeepStrictEqual } from 'node:util';
import {
  type Checkpoint,
  type CheckpointMetadata,
  type CheckpointPendingWrite,
  type DeltaChannelHistory,
  MemorySaver,
  maxChannelVersion,
  type SerializerProtocol,
  TASKS,
} from '@langchain/langgraph-checkpoint';
import { decodeValue, splitField, splitValue, writePrefix } from './codec.ts';
import type { CheckpointDescription } from './description.ts';
import { decodePart, encodePart, threadKey } from './keys.ts';
import { loadScript, type RedisClient, runScript } from './scripts.ts';
import { scanThreads } from './threads.ts';

const GET = loadScript('get', 'format');
const LIST = loadScript('list');
const HISTORY = loadScript('history');
const NAMESPACES = loadScript('namespaces');

/** Rows fetched at once by `list`; each is a whole checkpoint. */
const PAGE = 16;
/** Ancestors fetched in one call while a delta channel is replayed. */
const HISTORY_PAGE = 64;

export interface StoreOptions {
  /** First part of every key; no braces. Default `checkpoint`. */
  prefix?: string | undefined;
  /** Qualifies thread ids in keys (for example with a tenant) without showing up in them. Default: none. */
  namespace?: string | undefined;
  /** Default: LangGraph's JSON serializer. */
  serde?: SerializerProtocol | undefined;
}

/** A checkpoint as it was stored, decoded. */
export interface StoredCheckpoint {
  checkpointNs: string;
  checkpointId: string;
  parentCheckpointId: string | undefined;
  checkpoint: Checkpoint;
  metadata: CheckpointMetadata;
  pendingWrites: CheckpointPendingWrite[];
  description: CheckpointDescription | undefined;
}

/** Where to begin: below that checkpoint. */
export interface Before {
  checkpointId: string;
  /** Where that checkpoint is; default: the namespace that is listed. */
  checkpointNs?: string | undefined;
}

type Row = [
  id: Buffer,
  parent: Buffer,
  position: Buffer,
  checkpoint: Buffer,
  metadata: Buffer,
  description: Buffer,
  fields: Buffer[],
  blobs: (Buffer | null)[],
  writes: Buffer[],
  sends: Buffer[],
];

type HistoryReply = [next: Buffer, ancestors: [channels: Buffer[], blobs: Buffer[], writes: Buffer[]][]];

type ChannelFilter = (channel: string, description: CheckpointDescription | undefined) => boolean;

/** Reads checkpoints. Shared by the saver and the reader. */
export class CheckpointStore {
  readonly redis: RedisClient;
  readonly prefix: string | undefined;
  readonly namespace: string | undefined;
  readonly serde: SerializerProtocol;

  constructor(redis: RedisClient, options: StoreOptions) {
    this.redis = redis;
    this.prefix = options.prefix;
    this.namespace = options.namespace;
    this.serde = options.serde ?? new MemorySaver().serde;
  }

  key(threadId: string): string {
    return threadKey({ prefix: this.prefix, namespace: this.namespace, threadId });
  }

  /** One checkpoint, or the head when no id is given. One round trip, whatever the length of the history. */
  async get(
    threadId: string,
    checkpointNs: string,
    checkpointId?: string,
    channels?: ChannelFilter,
  ): Promise<StoredCheckpoint | undefined> {
    const row = (await runScript(this.redis, GET, this.key(threadId), [
      encodePart(checkpointNs),
      encodePart(checkpointId ?? ''),
    ])) as Row | null;
    return row === null ? undefined : this.#decode(checkpointNs, row, channels);
  }

  /** Newest first, by the order of insertion. */
  async *list(
    threadId: string,
    checkpointNs: string,
    before?: Before,
    channels?: ChannelFilter,
  ): AsyncGenerator<StoredCheckpoint> {
    const ns = encodePart(checkpointNs);
    const beforeNs = encodePart(before?.checkpointNs ?? checkpointNs);
    const beforeId = encodePart(before?.checkpointId ?? '');
    let below = '';
    for (;;) {
      const [found, page] = (await runScript(this.redis, LIST, this.key(threadId), [
        ns,
        below,
        beforeNs,
        beforeId,
        PAGE,
      ])) as [number, Buffer[]];
      const ids = page.filter((_, index) => index % 2 === 0).map((id) => decodePart(id.toString()));
      // A checkpoint that is unknown here still has an id with a time in it: the best order there is.
      const wanted = before && found === 0 ? ids.filter((id) => id < before.checkpointId) : ids;
      const rows = await Promise.all(wanted.map((id) => this.get(threadId, checkpointNs, id, channels)));
      for (const row of rows) if (row) yield row;
      if (ids.length < PAGE) return;
      below = page.at(-1)?.toString() ?? '';
    }
  }

  async namespaces(threadId: string): Promise<string[]> {
    const names = (await runScript(this.redis, NAMESPACES, this.key(threadId), [])) as Buffer[];
    return names.map((name) => decodePart(name.toString()));
  }

  /** Every thread of this namespace, by SCAN: for maintenance, not for a request. */
  threads(): AsyncGenerator<string> {
    return scanThreads(this.redis, this.prefix, this.namespace);
  }

  /** See `BaseCheckpointSaver.getDeltaChannelHistory`. */
  async deltaHistory(
    threadId: string,
    checkpointNs: string,
    checkpointId: string,
    channels: string[],
  ): Promise<Record<string, DeltaChannelHistory>> {
    const remaining = new Set(channels);
    const newestFirst = new Map<string, CheckpointPendingWrite[]>(channels.map((channel) => [channel, []]));
    const seeds = new Map<string, unknown>();
    let cursor = encodePart(checkpointId);
    let fromParent = true;
    while (remaining.size > 0 && (fromParent || cursor !== '')) {
      const [next, ancestors] = (await runScript(this.redis, HISTORY, this.key(threadId), [
        encodePart(checkpointNs),
        cursor,
        fromParent ? '1' : '0',
        HISTORY_PAGE,
        ...[...remaining].flatMap((channel) => [channel, writePrefix(channel)]),
      ])) as HistoryReply;
      for (const [stored, blobs, writes] of ancestors) {
        for (const write of (await this.#decodeWrites(writes)).reverse()) {
          if (remaining.has(write[1])) newestFirst.get(write[1])?.push(write);
        }
        for (const [index, channel] of stored.entries()) {
          const blob = blobs[index];
          if (blob) seeds.set(channel.toString(), await decodeValue(this.serde, blob));
          remaining.delete(channel.toString());
        }
      }
      cursor = next.toString();
      fromParent = false;
    }
    return Object.fromEntries(
      channels.map((channel) => {
        const history: DeltaChannelHistory = { writes: (newestFirst.get(channel) ?? []).reverse() };
        if (seeds.has(channel)) history.seed = seeds.get(channel);
        return [channel, history];
      }),
    );
  }

  async #decode(checkpointNs: string, row: Row, wanted?: ChannelFilter): Promise<StoredCheckpoint> {
    const [id, parent, , checkpointBytes, metadataBytes, descriptionBytes, fields, blobs, writes, sends] =
      row;
    const description: CheckpointDescription | undefined =
      descriptionBytes.length === 0 ? undefined : JSON.parse(descriptionBytes.toString()).value;
    const [checkpoint, metadata, pendingWrites, channels] = await Promise.all([
      decodeValue(this.serde, checkpointBytes) as Promise<Checkpoint>,
      decodeValue(this.serde, metadataBytes) as Promise<CheckpointMetadata>,
      this.#decodeWrites(writes),
      Promise.all(
        fields.map(async (field, index): Promise<[string, unknown][]> => {
          const [channel] = splitField(field);
          const blob = blobs[index];
          if (!blob || wanted?.(channel, description) === false) return [];
          return [[channel, await decodeValue(this.serde, blob)]];
        }),
      ),
    ]);
    checkpoint.channel_values = Object.fromEntries(channels.flat());
    if (sends.length > 0) await this.#migrateSends(checkpoint, sends);
    return {
      checkpointNs,
      checkpointId: decodePart(id.toString()),
      parentCheckpointId: parent.length === 0 ? undefined : decodePart(parent.toString()),
      checkpoint,
      metadata,
      pendingWrites,
      description,
    };
  }

  /** Sorted by task and by place in the task, which is the order LangGraph replays them in. */
  async #decodeWrites(stored: Buffer[]): Promise<CheckpointPendingWrite[]> {
    const writes: { task: string; index: number; value: Buffer }[] = [];
    for (let at = 0; at + 1 < stored.length; at += 2) {
      const [task, index] = splitField(stored[at] as Buffer);
      writes.push({ task, index: Number(index), value: stored[at + 1] as Buffer });
    }
    writes.sort((a, b) => (a.task < b.task ? -1 : a.task > b.task ? 1 : a.index - b.index));
    return Promise.all(
      writes.map(async ({ task, value }): Promise<CheckpointPendingWrite> => {
        const { labels, type, bytes } = splitValue(value);
        return [task, labels[0] ?? '', await this.serde.loadsTyped(type, bytes)];
      }),
    );
  }

  /** Before format 4 a checkpoint's sends were pending writes of its parent. */
  async #migrateSends(checkpoint: Checkpoint, parentWrites: Buffer[]): Promise<void> {
    const sends = (await this.#decodeWrites(parentWrites)).filter(([, channel]) => channel === TASKS);
    if (sends.length === 0) return;
    checkpoint.channel_values[TASKS] = sends.map(([, , value]) => value);
    const versions = Object.values(checkpoint.channel_versions);
    checkpoint.channel_versions[TASKS] = versions.length > 0 ? maxChannelVersion(...versions) : 1;
  }
}

export function matchesMetadata(metadata: CheckpointMetadata, filter: Record<string, unknown>): boolean {
  const values = metadata as unknown as Record<string, unknown>;
  return Object.entries(filter).every(([key, value]) => isDeepStrictEqual(values[key], value));
}
