import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeTestProject, type TestProject } from './test-project.ts';

let project: TestProject;
beforeAll(async () => {
  project = await makeTestProject();
});
afterAll(() => project.remove());

const run = promisify(execFile);
const SCRIPT = `
    const { loadGraphs } = await import(process.argv[1]);
    const { MemorySaver } = await import('@langchain/langgraph');
    const graphs = await loadGraphs(process.argv[2]);
    const seen = [];
    for (const loaded of graphs) {
      const graph = await loaded.bind({ checkpointer: new MemorySaver() });
      const config = { configurable: { thread_id: 't' } };
      const { langgraph } = loaded;
      await graph.invoke(new langgraph.Command({ goto: new langgraph.Send('work', { n: 3 }) }), config);
      seen.push([loaded.name, langgraph.own, (await graph.getState(config)).values]);
    }
    console.log(JSON.stringify(seen));
  `;
/** A user's own file: its `any` is what people write. */
const GRAPH = `
    import { Annotation, START, StateGraph } from '@langchain/langgraph';
    import { describe } from './words';
    enum Kind { Even = 'even', Odd = 'odd' }
    const State = Annotation.Root({ kind: Annotation<string>() });
    export const graph = new StateGraph(State)
      .addNode('work', (state: any) => ({ kind: describe(state.n % 2 === 0 ? Kind.Even : Kind.Odd) }))
      .addEdge(START, 'work');
  `;

it('a worker from its source loads enums and imports without suffix, of an ESM and a CommonJS package', async () => {
  for (const [folder, type] of [
    ['esm', 'module'],
    ['cjs', 'commonjs'],
  ] as const) {
    await project.write(`${folder}/package.json`, { type });
    await project.write(
      `${folder}/words.ts`,
      `export const describe = (kind: string): string => '${folder} ' + kind;`,
    );
    await project.write(`${folder}/graph.ts`, GRAPH);
  }
  const config = await project.write('typescript.json', {
    graphs: { esm: './esm/graph.ts:graph', cjs: './cjs/graph.ts:graph' },
  });
  const { stdout } = await run(
    process.execPath,
    [
      ...['--import', 'tsx', '--input-type=module', '--eval', SCRIPT],
      new URL('./load-graphs.ts', import.meta.url).href,
      config,
    ],
    { cwd: join(import.meta.dirname, '../..') },
  );
  expect(JSON.parse(stdout)).toEqual([
    ['esm', false, { kind: 'esm odd' }],
    ['cjs', false, { kind: 'cjs odd' }],
  ]);
});
