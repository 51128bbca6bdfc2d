import { Annotation, DeltaChannel, END, START, StateGraph } from '@langchain/langgraph';
import { type BaseCheckpointSaver, MemorySaver } from '@langchain/langgraph-checkpoint';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RedisSaver } from './index.ts';
import { listIds, openSpace, putCheckpoint, type TestSpace } from './testing.ts';

let space: TestSpace;
beforeEach(() => {
  space = openSpace();
});
afterEach(() => space.close());

const concat = (list: number[], writes: number[][]) => [...list, ...writes.flat()];

/** Two delta channels that are stored whole at different times, so that one is always being replayed. */
function counterGraph(checkpointer: BaseCheckpointSaver) {
  const State = Annotation.Root({
    often: () => new DeltaChannel<number[], number[]>(concat, { snapshotFrequency: 7 }),
    seldom: () => new DeltaChannel<number[], number[]>(concat, { snapshotFrequency: 11 }),
    turn: Annotation<number>(),
  } as never);
  // The state is typed by hand: a bare channel has no static type.
  type Turn = { turn: number };
  return new StateGraph(State as never)
    .addNode(
      'count',
      ({ turn }: Turn) => ({ often: [turn], ...(turn % 2 ? { seldom: [turn] } : {}) }) as never,
    )
    .addEdge(START, 'count' as never)
    .addEdge('count' as never, END)
    .compile({ checkpointer });
}

const config = { configurable: { thread_id: 't' }, durability: 'sync' as const };

async function turns(graph: ReturnType<typeof counterGraph>, from: number, to: number) {
  for (let turn = from; turn < to; turn += 1) await graph.invoke({ turn } as never, config);
  return (await graph.getState(config)).values as { often: number[]; seldom: number[]; turn: number };
}

test('delta channels survive pruning, and the history stays bounded', async () => {
  const saver = new RedisSaver(space.redis, { prefix: space.prefix, keepCheckpoints: 3 });
  const memory = counterGraph(new MemorySaver());
  const graph = counterGraph(saver);
  let most = 0;
  for (let turn = 0; turn < 120; turn += 5) {
    const expected = await turns(memory, turn, turn + 5);
    expect(await turns(graph, turn, turn + 5)).toEqual(expected);
    expect(expected.often.length).toBe(turn + 5);
    expect((await listIds(saver, 't')).length).toBe(3);
    most = Math.max(most, (await space.keys()).length);
  }
  // `seldom` is stored whole after 11 updates, which are 22 turns of 3 checkpoints.
  expect(await space.redis.zcard(`${space.prefix}:{/t}:a:`)).toBeGreaterThan(3);
  expect(most).toBeLessThan(3 * 22 * 2 * 2);
});

test('every listed checkpoint can still be read whole', async () => {
  const saver = new RedisSaver(space.redis, { prefix: space.prefix, keepCheckpoints: 5 });
  const graph = counterGraph(saver);
  for (let turn = 0; turn < 40; turn += 1) {
    await turns(graph, turn, turn + 1);
    for await (const snapshot of graph.getStateHistory(config)) {
      const { often, turn: at } = snapshot.values as { often?: number[]; turn?: number };
      if (snapshot.next.length > 0 || at === undefined) continue;
      expect(often).toEqual(Array.from({ length: at + 1 }, (_, index) => index));
    }
  }
});

test('a state edit, which counts nothing, does not cut the replay', async () => {
  const saver = new RedisSaver(space.redis, { prefix: space.prefix, keepCheckpoints: 2 });
  const graph = counterGraph(saver);
  await turns(graph, 0, 2);
  for (let edit = 100; edit < 106; edit += 1) {
    await graph.updateState(config, { often: [edit] } as never, 'count');
  }
  expect((await graph.getState(config)).values.often).toEqual([0, 1, 100, 101, 102, 103, 104, 105]);
});

test('an edit of something else, and the end of delta channels, do not hold the history back', async () => {
  const saver = new RedisSaver(space.redis, { prefix: space.prefix, keepCheckpoints: 2 });
  const floors = () => space.redis.zrange(`${space.prefix}:{/t}:d:`, 0, -1, 'WITHSCORES');
  const pairs = async () => {
    const flat = await floors();
    return flat.flatMap((id, at): [string, string][] => (at % 2 ? [] : [[id, flat[at + 1] ?? '']]));
  };
  const counted = { counters_since_delta_snapshot: { d: [1, 1] as [number, number] } };
  await putCheckpoint(saver, 't', { values: { x: 1 } });
  let parent = await putCheckpoint(saver, 't', { values: { d: 'whole' } });
  parent = await putCheckpoint(saver, 't', { parent, versions: { d: 7000 }, metadata: counted });
  const edit = await putCheckpoint(saver, 't', {
    parent,
    values: { x: 2 },
    versions: { d: 7000, x: 7001 },
    newVersions: { x: 7001 },
    metadata: { source: 'update' },
  });
  parent = await putCheckpoint(saver, 't', { parent: edit, versions: { d: 7002 }, metadata: counted });
  expect(new Map(await pairs())).toEqual(
    new Map([
      [edit, '2'],
      [parent, '2'],
    ]),
  );
  for (let i = 0; i < 4; i += 1) parent = await putCheckpoint(saver, 't', { parent, versions: { d: 7002 } });
  expect(await floors()).toEqual([]);
  expect(await space.redis.zcard(`${space.prefix}:{/t}:a:`)).toBe(0);
});

test('the ancestors of a pinned checkpoint stay while it is pinned', async () => {
  const saver = new RedisSaver(space.redis, { prefix: space.prefix, keepCheckpoints: 2 });
  const graph = counterGraph(saver);
  await turns(graph, 0, 5);
  const base = (await graph.getState(config)).config.configurable?.checkpoint_id as string;
  await saver.pin('t', base);
  await turns(graph, 5, 60);
  const read = async () => {
    const at = { configurable: { ...config.configurable, checkpoint_id: base } };
    return (await graph.getState(at)).values.often;
  };
  expect(await read()).toEqual([0, 1, 2, 3, 4]);
  const held = await space.redis.zcard(`${space.prefix}:{/t}:a:`);
  await saver.unpin('t', base);
  await turns(graph, 60, 130);
  expect(await space.redis.zcard(`${space.prefix}:{/t}:a:`)).toBeLessThan(held);
});

test('a run that is taken back takes its parts of the channels with it', async () => {
  const saver = (runId: string) =>
    new RedisSaver(space.redis, { prefix: space.prefix, keepCheckpoints: 2, runId });
  await turns(counterGraph(saver('first')), 0, 5);
  await turns(counterGraph(saver('second')), 5, 30);
  expect(await saver('second').rollback('t', 'second')).toBe(true);
  const again = await turns(counterGraph(saver('third')), 5, 8);
  expect(again.often).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(again.seldom).toEqual([1, 3, 5, 7]);
});

test('a checkpoint kept only for replay is not offered as a state', async () => {
  const saver = new RedisSaver(space.redis, { prefix: space.prefix, keepCheckpoints: 1 });
  const metadata = { counters_since_delta_snapshot: { d: [1, 1] as [number, number] } };
  const first = await putCheckpoint(saver, 't', { versions: { d: 1 }, metadata });
  await putCheckpoint(saver, 't', { parent: first, versions: { d: 2 }, metadata });
  expect(await space.redis.zrange(`${space.prefix}:{/t}:a:`, 0, -1)).toEqual([first]);
  expect(await saver.getTuple({ configurable: { thread_id: 't', checkpoint_id: first } })).toBeUndefined();
  expect(await saver.pin('t', first)).toBe(false);
});
