import { join } from 'node:path';
import { Command, MemorySaver } from '@langchain/langgraph';
import { catalogEntry } from '@millrace/shared/contract/catalog';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GraphLoadError } from './graph-fault.ts';
import { loadGraphs } from './load-graphs.ts';
import { type LoadedGraph, toCatalogEntry } from './loaded-graph.ts';
import { makeTestProject, type TestProject } from './test-project.ts';

const SHAPES = `
import { Annotation, MemorySaver, START, StateGraph } from '@langchain/langgraph';
const State = Annotation.Root({ text: Annotation() });
export const builder = new StateGraph(State)
  .addNode('shout', ({ text }, config) => ({ text: text.toUpperCase() + (config.configurable.suffix ?? '') }))
  .addEdge(START, 'shout');
export const own = new MemorySaver();
export const compiled = builder.compile({ checkpointer: own, name: 'compiled', description: 'Shouts.' });
export const promised = Promise.resolve(compiled);
export const promisedBuilder = Promise.resolve(builder);
export const agent = { graph: compiled, invoke() {} };
export const calls = [];
export const factory = (config) => { calls.push(config); return builder.compile(); };
export const asyncFactory = async (config) => ({ graph: factory(config) });
export const failing = () => { throw new Error('no database'); };
export const wrongFactory = () => 42;
export default builder.compile();
export const number = 42;
`;

const TALK = `
import { Annotation, Command, END, interrupt, MemorySaver, MessagesAnnotation, Send, START, StateGraph } from '@langchain/langgraph';
import { HumanMessage } from '@langchain/core/messages';
const State = Annotation.Root({ ...MessagesAnnotation.spec, seen: Annotation({ reducer: (a, b) => a.concat(b), default: () => [] }) });
const inner = new StateGraph(State)
  .addNode('confirm', () => ({ seen: ['answer ' + interrupt({ question: 'Go on?' })] }))
  .addEdge(START, 'confirm')
  .compile({ checkpointer: true });
export const graph = new StateGraph(State)
  .addNode('split', ({ messages }) => ({ seen: ['human ' + HumanMessage.isInstance(messages[0])] }))
  .addNode('part', ({ n }) => ({ seen: ['part ' + n] }))
  .addNode('inner', inner)
  .addNode('handOver', () => new Command({ update: { seen: ['handed over'] }, goto: END }), { ends: [END] })
  .addEdge(START, 'split')
  .addConditionalEdges('split', () => [new Send('part', { n: 1 }), new Send('part', { n: 2 })], ['part'])
  .addEdge('part', 'inner')
  .addEdge('inner', 'handOver')
  .compile({ checkpointer: new MemorySaver() });
`;

let project: TestProject;
let files = 0;

beforeAll(async () => {
  project = await makeTestProject();
  await project.write('package.json', { type: 'module' });
  await project.write('shapes.mjs', SHAPES);
  await project.write('talk.mjs', TALK);
});

afterAll(() => project.remove());

async function load(graphs: object, rest: object = {}): Promise<LoadedGraph[]> {
  files += 1;
  return loadGraphs(await project.write(`langgraph.${files}.json`, { graphs, ...rest }));
}

async function loadOne(path: string): Promise<LoadedGraph> {
  const [loaded] = await load({ graph: path });
  if (loaded === undefined) throw new Error('Nothing was loaded.');
  return loaded;
}

async function faultsOf(loading: Promise<unknown>): Promise<GraphLoadError> {
  return loading.then(
    () => {
      throw new Error('It did not fail.');
    },
    (error: GraphLoadError) => error,
  );
}

describe('what a module may export', () => {
  it.each([
    'compiled',
    'builder',
    'promised',
    'promisedBuilder',
    'agent',
    'factory',
    'asyncFactory',
    'default',
  ])('%s', async (name) => {
    const loaded = await loadOne(`./shapes.mjs:${name}`);
    const graph = await loaded.bind({ checkpointer: new MemorySaver() });
    const config = { configurable: { thread_id: 't' } };
    expect(await graph.invoke({ text: 'hello' }, config)).toEqual({ text: 'HELLO' });
    expect((await graph.getState(config)).values).toEqual({ text: 'HELLO' });
  });

  it('without a name: the default export', async () => {
    expect((await loadOne('./shapes.mjs')).langgraph.own).toBe(false);
  });

  it('gives a factory the config of the run', async () => {
    const loaded = await loadOne('./shapes.mjs:factory');
    const config = { configurable: { thread_id: 't', tenant: 'acme' } };
    await loaded.bind({ checkpointer: new MemorySaver(), config });
    const { calls } = (await import(join(project.directory, 'shapes.mjs'))) as { calls: unknown[] };
    expect(calls.at(-1)).toEqual(config);
  });

  it('takes description, queue and what becomes of tasks from the configuration', async () => {
    const [named, described] = await load({
      named: {
        path: './shapes.mjs:compiled',
        description: 'Very loud.',
        queue: 'gpu',
        task_support: 'required',
      },
      described: './shapes.mjs:compiled',
    });
    expect(named).toMatchObject({ name: 'named', description: 'Very loud.', queue: 'gpu' });
    expect([named, described].map((one) => one && toCatalogEntry(one).taskSupport)).toEqual([
      'required',
      undefined,
    ]);
    expect(described).toMatchObject({ name: 'described', description: 'Shouts.', queue: 'default' });
  });
});

describe('bind', () => {
  it('keeps concurrent runs on their own checkpointers, and the graph’s own out of it', async () => {
    const loaded = await loadOne('./shapes.mjs:compiled');
    const savers = Array.from({ length: 8 }, () => new MemorySaver());
    await Promise.all(
      savers.map(async (checkpointer, index) => {
        const graph = await loaded.bind({ checkpointer });
        await graph.invoke(
          { text: 'run' },
          { configurable: { thread_id: `t${index}`, suffix: `${index}` }, durability: 'sync' },
        );
      }),
    );
    for (const [index, checkpointer] of savers.entries()) {
      expect(Object.keys(checkpointer.storage)).toEqual([`t${index}`]);
      const graph = await loaded.bind({ checkpointer });
      const state = await graph.getState({ configurable: { thread_id: `t${index}` } });
      expect(state.values).toEqual({ text: `RUN${index}` });
    }
    const { compiled, own } = (await import(join(project.directory, 'shapes.mjs'))) as {
      compiled: { checkpointer: unknown };
      own: MemorySaver;
    };
    expect(compiled.checkpointer).toBe(own);
    expect(own.storage).toEqual({});
  });
});

describe('a graph with a LangGraph of its own', () => {
  it('runs on the worker’s checkpointer: sends, a question inside a subgraph, an answer, a command', async () => {
    const loaded = await loadOne('./talk.mjs:graph');
    expect(loaded.langgraph).toMatchObject({ own: false, version: '1.4.17' });
    expect(loaded.langgraph.Command).not.toBe(Command);
    const graph = await loaded.bind({ checkpointer: new MemorySaver() });
    const config = { configurable: { thread_id: 't' }, durability: 'sync' as const };
    await graph.invoke({ messages: [{ role: 'user', content: 'Hi' }] }, config);
    const parked = await graph.getState(config);
    expect(parked.tasks.flatMap(({ interrupts }) => interrupts.map(({ value }) => value))).toEqual([
      { question: 'Go on?' },
    ]);
    const [question] = parked.tasks.flatMap(({ interrupts }) => interrupts);
    // The worker's own Command will do for an answer.
    const resume = { [String(question?.id)]: 'yes' };
    const done = (await graph.invoke(new Command({ resume }), config)) as { seen: string[] };
    expect(done.seen).toEqual([
      'human true',
      'part 1',
      'part 2',
      ...['human true', 'part 1', 'part 2', 'answer yes'],
      'handed over',
    ]);
  });

  it('takes a goto with Send only from its own copy', async () => {
    const loaded = await loadOne('./talk.mjs:graph');
    const graph = await loaded.bind({ checkpointer: new MemorySaver() });
    const { Command: Own, Send } = loaded.langgraph;
    const goto = [new Send('part', { n: 7 })];
    const config = { configurable: { thread_id: 't' } };
    await graph.invoke(new Own({ goto }), config);
    expect((await graph.getState(config)).values).toMatchObject({ seen: ['part 7'] });
  });

  it('drains with the worker’s RunControl', async () => {
    const loaded = await loadOne('./talk.mjs:graph');
    const graph = await loaded.bind({ checkpointer: new MemorySaver() });
    const { RunControl } = loaded.langgraph;
    if (RunControl === undefined) throw new Error('This version cannot drain.');
    const control = new RunControl();
    control.requestDrain('test');
    const config = { configurable: { thread_id: 't' }, control, durability: 'sync' as const };
    await expect(graph.invoke({ messages: [] }, config)).rejects.toMatchObject({ name: 'GraphDrained' });
  });
});

describe('faults', () => {
  it('are all told at once, each with its graph and a remedy', async () => {
    await project.write('broken.mjs', 'export const graph = ;');
    await project.write('missing.mjs', "import '@acme/tools/deep';");
    await project.write('throws.mjs', "throw new Error('on purpose');");
    const error = await faultsOf(
      load({
        fine: './shapes.mjs:compiled',
        gone: './nowhere.mjs:graph',
        unnamed: './shapes.mjs:nothing',
        number: './shapes.mjs:number',
        wrong: './shapes.mjs:wrongFactory',
        failing: './shapes.mjs:failing',
        broken: './broken.mjs:graph',
        missing: './missing.mjs:graph',
        throws: './throws.mjs:graph',
        python: './agent.py:graph',
        list: [],
        'bad name': './shapes.mjs:compiled',
      }),
    );
    const told = Object.fromEntries(
      error.faults.map(({ graph, message, remedy }) => [graph, `${message}; ${remedy}`]),
    );
    expect(told).toEqual({
      gone: expect.stringMatching(/^there is no file .*nowhere\.mjs; correct its path/),
      unnamed: expect.stringMatching(/exports no "nothing"; it exports: .*compiled/),
      number: expect.stringMatching(/"number" of .* is not a graph; export a compiled graph/),
      wrong: expect.stringMatching(/"wrongFactory" of .* is not a graph/),
      failing: expect.stringMatching(/its function "failing" fails: no database; it is called once/),
      broken: expect.stringMatching(/cannot be imported/),
      missing: expect.stringMatching(/run npm install @acme\/tools in/),
      throws: expect.stringMatching(/cannot be imported: on purpose/),
      python: expect.stringMatching(/not a module that can be loaded; name a \.ts/),
      list: expect.stringMatching(/entry cannot be understood/),
      'bad name': expect.stringMatching(/name cannot be used/),
    });
    for (const name of Object.keys(told)) expect(error.message).toContain(`- graph "${name}": `);
  });

  it.each([
    ['{"graphs": ', /it is not JSON .*; correct it/],
    ['{}', /graphs.*; it must look like/],
    ['{"graphs": {}}', /it names no graphs; add one/],
    ['{"graphs": {"a": "./shapes.mjs:compiled"}, "env": "./no.env"}', /env file .*no\.env cannot be read/],
  ])('of the file itself: %s', async (text, message) => {
    await expect(loadGraphs(await project.write('faulty.json', text))).rejects.toThrow(message);
  });

  it('of a file that is not there', async () => {
    await expect(loadGraphs(join(project.directory, 'nowhere.json'))).rejects.toThrow(
      'cannot be read (ENOENT); correct LANGGRAPH_CONFIG',
    );
  });
});

describe('prompts', () => {
  const withPrompts = (...prompts: object[]) => load({ talk: { path: './talk.mjs:graph', prompts } });

  it('go into the catalog, a text as a message', async () => {
    const [loaded] = await withPrompts(
      {
        name: 'review',
        title: 'Review a file',
        text: 'Review {{file}} for {{what}}.',
        arguments: [{ name: 'file', description: 'A path', required: true }, { name: 'what' }],
      },
      { name: 'greet', messages: [{ role: 'assistant', content: 'Hello' }] },
    );
    if (!loaded) throw new Error('Nothing was loaded.');
    expect(toCatalogEntry(loaded).prompts).toEqual([
      {
        name: 'review',
        title: 'Review a file',
        arguments: [{ name: 'file', description: 'A path', required: true }, { name: 'what' }],
        messages: [{ role: 'user', content: 'Review {{file}} for {{what}}.' }],
      },
      { name: 'greet', arguments: [], messages: [{ role: 'assistant', content: 'Hello' }] },
    ]);
  });

  it('are refused with every fault', async () => {
    const error = await faultsOf(
      withPrompts(
        {
          name: 'one',
          text: 'Look at {{file}} and {{ line }}',
          arguments: [{ name: 'line' }, { name: 'line' }],
        },
        { name: 'one', text: 'x' },
      ),
    );
    expect(error.message).toContain('its prompt "one" names {{file}}, which is no argument of it; add');
    expect(error.message).toContain('its prompt "one" has the argument "line" twice');
    expect(error.message).toContain('its prompt "one" is there twice; rename one of them');
  });

  it.each([
    [{ name: 'no text' }, 'name: must be letters'],
    [{ name: 'a', text: 'x', messages: [] }, 'Unrecognized key'],
    [{ name: 'a', text: 'x', arguments: [{ name: 'b', kind: 'number' }] }, 'Unrecognized key: "kind"'],
    [{ name: 'a', messages: [{ role: 'system', content: 'x' }] }, 'messages[0].role'],
  ])('are refused where they cannot be understood: %j', async (prompt, text) => {
    const { message } = await faultsOf(withPrompts(prompt));
    expect(message).toMatch(/its prompts\[0\]\S* cannot be understood/);
    expect(message).toContain(text);
  });
});

describe('env', () => {
  it('goes to the caller, from an object or a file; keys of other tools are no matter', async () => {
    await project.write('some.env', '# comment\nA=1\nB="two words"\n');
    const graphs = { a: './shapes.mjs:compiled' };
    const seen: object[] = [];
    for (const env of ['./some.env', { A: 1, C: true }]) {
      const file = await project.write('env.json', { graphs, env, node_version: '22', dependencies: ['.'] });
      await loadGraphs(file, { applyEnv: (variables) => seen.push(variables) });
    }
    expect(seen).toEqual([
      { A: '1', B: 'two words' },
      { A: '1', C: 'true' },
    ]);
  });
});

describe('the catalog entry', () => {
  it('satisfies the contract', async () => {
    const entry = { ...toCatalogEntry(await loadOne('./talk.mjs:graph')), publishedAt: 1 };
    expect(catalogEntry.parse(entry)).toEqual(entry);
    expect(entry).toMatchObject({ conversational: true, queue: 'default' });
    expect(entry.drawing).toMatchObject({ nodes: expect.any(Array), edges: expect.any(Array) });
  });

  it('has a revision that changes with the file, and only then', async () => {
    const first = await loadOne('./shapes.mjs:compiled');
    await project.write('changed.mjs', `${SHAPES}\n// changed`);
    expect((await loadOne('./shapes.mjs:compiled')).revision).toBe(first.revision);
    expect((await loadOne('./changed.mjs:compiled')).revision).not.toBe(first.revision);
  });

  it('has a revision that changes with a sub-graph from another file', async () => {
    const revisionWith = async (step: string) => {
      const [inner, outer] = [`inner-${step}.mjs`, `outer-${step}/graph.mjs`];
      await project.write(
        inner,
        `import { Annotation, START, StateGraph } from '@langchain/langgraph';
         export const State = Annotation.Root({ x: Annotation() });
         export const inner = new StateGraph(State).addNode('${step}', () => ({})).addEdge(START, '${step}').compile();`,
      );
      // The same text each time.
      await project.write(`outer-${step}/inner.mjs`, `export * from '../${inner}';`);
      await project.write(
        outer,
        `import { START, StateGraph } from '@langchain/langgraph';
         import { inner, State } from './inner.mjs';
         export const graph = new StateGraph(State).addNode('inside', inner).addEdge(START, 'inside').compile();`,
      );
      return (await loadOne(`./${outer}:graph`)).revision;
    };
    expect(await revisionWith('one')).not.toBe(await revisionWith('two'));
  });
});
