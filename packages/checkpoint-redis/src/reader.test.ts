import { Annotation, Command, interrupt, START, StateGraph } from '@langchain/langgraph';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RedisSaver } from './index.ts';
import { CheckpointReader, type CheckpointView } from './reader.ts';
import { openSpace, putCheckpoint, type TestSpace } from './testing.ts';

let space: TestSpace;
let saver: RedisSaver;
let reader: CheckpointReader;
beforeEach(() => {
  space = openSpace();
  saver = new RedisSaver(space.redis, { prefix: space.prefix, namespace: 'tenant' });
  reader = new CheckpointReader(space.redis, { prefix: space.prefix, namespace: 'tenant' });
});
afterEach(() => space.close());

const config = { configurable: { thread_id: 't' }, durability: 'sync' as const };

const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
  secret: Annotation<string>(),
});

/** After `start`: one sibling that finishes, one that asks, one that throws until it is told not to. */
function siblings(fail: { now: boolean }) {
  return new StateGraph(State)
    .addNode('start', () => ({ log: ['start'], secret: 'hidden' }))
    .addNode('finishes', () => ({ log: ['finished'] }))
    .addNode('silent', () => ({}))
    .addNode('asks', () => ({ log: [`answer ${interrupt({ question: 'ok?' })}`] }))
    .addNode('throws', () => {
      if (fail.now) throw new RangeError('no luck');
      return { log: ['recovered'] };
    })
    .addEdge(START, 'start')
    .addEdge('start', 'finishes')
    .addEdge('start', 'silent')
    .addEdge('start', 'asks')
    .addEdge('start', 'throws')
    .compile({ checkpointer: saver });
}

async function describeHead(graph: ReturnType<typeof siblings>): Promise<void> {
  const state = await graph.getState(config);
  const tasks = state.tasks.map(({ id, name }) => ({ id, name }));
  expect(await saver.describe(state.config, { tasks, channels: ['log'] })).toBe(true);
}

const task = (view: CheckpointView | undefined, name: string) =>
  view?.tasks.find((candidate) => candidate.name === name);

test('an interrupted graph with siblings that finished and failed', async () => {
  const fail = { now: true };
  const graph = siblings(fail);
  await expect(graph.invoke({ log: ['in'] }, config)).rejects.toThrow('no luck');
  await describeHead(graph);

  const parked = await reader.head('t');
  expect(parked).toMatchObject({ described: true, values: { log: ['in', 'start'] } });
  expect(Object.keys(parked?.values ?? {})).toEqual(['log']);
  const state = await graph.getState(config);
  expect(parked?.next).toEqual(state.next);
  expect(parked?.next).toEqual(expect.arrayContaining(['asks', 'throws']));
  expect(parked?.next).not.toContain('finishes');
  expect(task(parked, 'finishes')).toMatchObject({ done: true, interrupts: [] });
  expect(task(parked, 'asks')).toMatchObject({
    done: false,
    interrupts: [{ id: expect.any(String), value: { question: 'ok?' } }],
  });
  expect(task(parked, 'throws')).toMatchObject({
    done: false,
    error: { name: 'RangeError', message: 'no luck' },
    interrupts: [],
  });
  expect(parked?.checkpointId).toBe(state.config.configurable?.checkpoint_id);
  expect(parked?.parentCheckpointId).toBe(state.parentConfig?.configurable?.checkpoint_id);
  expect(parked?.createdAt).toBe(state.createdAt);
  expect(parked?.metadata).toMatchObject({ source: 'loop', step: 1 });

  fail.now = false;
  await graph.invoke(new Command({ resume: 'yes' }), config);
  const between = await reader.get('t', { checkpointId: parked?.checkpointId });
  expect([...(between?.next ?? [])].sort()).toEqual(['asks', 'finishes', 'silent', 'throws']);
  await describeHead(graph);
  const end = await reader.head('t');
  expect(end).toMatchObject({ next: [], tasks: [], described: true });
  expect([...((end?.values.log ?? []) as string[])].sort()).toEqual(
    ['answer yes', 'finished', 'in', 'recovered', 'start'].sort(),
  );
});

test('without a description: all values that are not internal, and no claim about what is next', async () => {
  const graph = siblings({ now: false });
  await graph.invoke({ log: ['in'] }, config);
  const view = await reader.head('t');
  expect(view).toMatchObject({
    described: false,
    next: [],
    values: { log: ['in', 'start'], secret: 'hidden' },
  });
  expect(Object.keys(view?.values ?? {}).sort()).toEqual(['log', 'secret']);
  const asking = view?.tasks.filter(({ interrupts }) => interrupts.length > 0);
  expect(asking).toMatchObject([{ name: '', done: false, interrupts: [{ value: { question: 'ok?' } }] }]);
  await describeHead(graph);
  const described = await reader.head('t');
  expect(described?.next).toEqual(['asks']);
  expect(task(described, 'silent')).toMatchObject({ done: true });
});

test('list: newest first, with limit, before, filter and namespace', async () => {
  const ids: string[] = [];
  for (let i = 0; i < 40; i += 1) {
    const metadata = { source: i % 2 ? ('input' as const) : ('loop' as const) };
    ids.unshift(await putCheckpoint(saver, 't', { values: { i }, metadata }));
  }
  const sub = await putCheckpoint(saver, 't', { ns: 'sub' });
  const collect = async (options: Parameters<CheckpointReader['list']>[1]) => {
    const found: string[] = [];
    for await (const view of reader.list('t', options)) found.push(view.checkpointId);
    return found;
  };
  expect(await collect({})).toEqual(ids);
  expect(await collect({ limit: 3 })).toEqual(ids.slice(0, 3));
  expect(await collect({ limit: 0 })).toEqual([]);
  expect(await collect({ before: ids[10], limit: 2 })).toEqual(ids.slice(11, 13));
  expect(await collect({ filter: { source: 'input' }, limit: 5 })).toEqual(
    ids.filter((_, index) => index % 2 === 0).slice(0, 5),
  );
  expect(await collect({ filter: { source: 'input', step: -7 } })).toEqual([]);
  expect(await collect({ checkpointNs: 'sub' })).toEqual([sub]);
});

test('what is not there is undefined, and what another namespace has is not there', async () => {
  const id = await putCheckpoint(saver, 't');
  expect(await reader.head('other')).toBeUndefined();
  expect(await reader.get('t', { checkpointId: 'other' })).toBeUndefined();
  expect(await reader.get('t', { checkpointId: id, checkpointNs: 'sub' })).toBeUndefined();
  const foreign = new CheckpointReader(space.redis, { prefix: space.prefix, namespace: 'other' });
  expect(await foreign.get('t', { checkpointId: id })).toBeUndefined();
  const missing = { configurable: { thread_id: 't', checkpoint_id: 'other' } };
  expect(await saver.describe(missing, { tasks: [], channels: [] })).toBe(false);
});

test('the work of reading the head does not grow with the history', async () => {
  const keepAll = new RedisSaver(space.redis, {
    prefix: space.prefix,
    namespace: 'tenant',
    keepCheckpoints: 0,
  });
  const processed = async () => {
    const stats = await Promise.all(space.servers().map((server) => server.info('stats')));
    return stats.reduce((sum, one) => sum + Number(one.match(/total_commands_processed:(\d+)/)?.[1]), 0);
  };
  /** The least of many readings: others use the server too, and that only adds. */
  const commands = async (enough = 0) => {
    let least = Number.POSITIVE_INFINITY;
    for (let reading = 0; reading < 300 && least > enough; reading += 1) {
      const before = await processed();
      await reader.head('t');
      least = Math.min(least, (await processed()) - before);
    }
    return least;
  };
  await putCheckpoint(keepAll, 't', { values: { m: 1 } });
  await reader.head('t');
  const short = await commands();
  for (let i = 0; i < 500; i += 1) await putCheckpoint(keepAll, 't', { values: { m: i } });
  expect(await commands(short)).toBeLessThanOrEqual(short);
});
