import { randomUUID } from 'node:crypto';
import { RedisSaver } from '@millrace/checkpoint-redis';
import { CheckpointReader } from '@millrace/checkpoint-redis/reader';
import { Keys } from '@millrace/shared/keys';
import { createLogger } from '@millrace/shared/logger';
import { partitionOfThread } from '@millrace/shared/partition';
import { connect, type RedisRole, whenReady } from '@millrace/shared/redis';
import { isRedisFault } from '@millrace/shared/redis-fault';
import { RunStore } from '@millrace/shared/run-store';
import type { Cluster } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { threadKey } from '../../packages/checkpoint-redis/src/keys.ts';
import { putCheckpoint } from '../../packages/checkpoint-redis/src/testing.ts';
import { RedisCluster, SlotMove } from './redis-cluster.ts';

/** While a slot moves from one master to another, some of its keys are here and some there. */

let cluster: RedisCluster;
let admin: Cluster;
const opened: { disconnect: () => void }[] = [];

async function open(role: RedisRole) {
  const redis = connect({ url: cluster.url }, role, createLogger('test', 'silent'));
  opened.push(redis);
  await whenReady(redis);
  return redis;
}

beforeAll(async () => {
  cluster = await RedisCluster.start();
  admin = cluster.connect();
  opened.push(admin);
});

afterAll(async () => {
  for (const one of opened) one.disconnect();
  await cluster.remove();
});

/** How far the move is when something is tried: nothing, a part, or everything but the word that it is over. */
const stages = [0, 5, Number.POSITIVE_INFINITY];

describe('runs', () => {
  const keys = new Keys();

  function submit(store: RunStore, thread: string, text: string) {
    return store.submit({
      tenant: 't',
      thread,
      createThread: true,
      request: { kind: 'graph', graph: 'g', assistantId: 'g', input: { text }, streamModes: [] },
      queue: 'default',
      multitask: 'enqueue',
      idempotency: { key: text, bodyHash: text },
    });
  }

  it('of a partition on the move are neither forked nor torn: whoever writes is told to come again', async () => {
    const gateway = new RunStore(await open('gateway'), { keys });
    const worker = new RunStore(await open('worker'), { keys });
    const thread = randomUUID();
    const texts = ['before 1', 'before 2'];
    for (const text of texts) await submit(gateway, thread, text);
    const move = await SlotMove.begin(admin, keys.root(partitionOfThread(thread)));
    const waiting: Promise<unknown>[] = [];
    for (const stage of stages) {
      await move.keys(stage);
      const refusal = await submit(gateway, thread, `refused at ${stage}`).catch((error) => error);
      expect(refusal).toBeInstanceOf(Error);
      expect(isRedisFault(refusal)).toBe(true);
      texts.push(`waited at ${stage}`);
      waiting.push(submit(worker, thread, `waited at ${stage}`));
    }
    await move.finish();
    for (const result of await Promise.all(waiting)) expect(result).toMatchObject({ repeated: false });
    const runs = await gateway.read.runsOfThread('t', thread, { limit: 100, offset: 0 });
    expect(runs.map((run) => (run.request.input as { text: string }).text).sort()).toEqual(texts.sort());
    expect(await gateway.open.load()).toMatchObject({ runs: texts.length });
  });
});

describe('checkpoints', () => {
  it('of a thread on the move stay whole: a worker waits, a gateway is told to come again', async () => {
    const threadId = randomUUID();
    const saver = new RedisSaver(await open('worker'), {});
    const reader = new CheckpointReader(await open('gateway'), {});
    const first = await putCheckpoint(saver, threadId, { values: { a: 1 } });
    const move = await SlotMove.begin(admin, threadKey({ threadId }));
    const waiting: Promise<string>[] = [];
    for (const stage of stages) {
      await move.keys(stage);
      const refusal = await reader.head(threadId).catch((error) => error);
      expect(refusal).toBeInstanceOf(Error);
      expect(isRedisFault(refusal)).toBe(true);
      waiting.push(putCheckpoint(saver, threadId, { parent: first, values: { a: 2 } }));
    }
    await move.finish();
    const ids = [first, ...(await Promise.all(waiting))].sort();
    const found: string[] = [];
    for await (const view of reader.list(threadId)) found.push(view.checkpointId);
    expect(found.sort()).toEqual(ids);
    expect(await reader.get(threadId, { checkpointId: first })).toMatchObject({ values: { a: 1 } });
  });
});
