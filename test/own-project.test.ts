import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeTestProject, type TestProject } from '../apps/worker/src/loader/test-project.ts';
import { StoreClient } from './client.ts';
import { type AppProcess, startProcess } from './processes.ts';

/** A user's project outside the repository, with a LangGraph of its own. */

let redis: TestRedis;
let client: StoreClient;
let project: TestProject;
let worker: AppProcess | undefined;

beforeEach(async () => {
  redis = await testRedis();
  client = new StoreClient(redis);
  project = await makeTestProject();
});

afterEach(async () => {
  expect(await worker?.end('SIGTERM')).toBe(worker ? 0 : undefined);
  worker = undefined;
  await client.close();
  await redis.close();
  await project.remove();
});

const source = `
import { Annotation, interrupt, Send, START, StateGraph, END } from '@langchain/langgraph';
import { greeting } from './words';
const State = Annotation.Root({ topic: Annotation<string>, log: Annotation<string[]>({ reducer: (a, b) => a.concat(b), default: () => [] }) });
enum Way { Ask = 'ask' }
export const graph = new StateGraph(State)
  .addNode(Way.Ask, (state) => ({ log: [greeting() + ' ' + state.topic + ': ' + interrupt('go on?')] }))
  .addEdge(START, Way.Ask)
  .addEdge(Way.Ask, END);
`;

const words = "export const greeting = (): string => process.env.GREETING ?? '';";

async function start(type = 'module') {
  const config = await project.write('langgraph.json', {
    node_version: '20',
    dependencies: ['.'],
    env: { GREETING: 'hello' },
    graphs: { mine: { path: './src/agent.ts:graph', description: 'My own graph.' } },
  });
  await project.write('package.json', { type });
  worker = await startProcess('worker', {
    ...redis.env,
    LANGGRAPH_CONFIG: config,
  });
}

it.each(['module', 'commonjs'])(
  'of type %s is served: its own packages, TypeScript, environment, questions and answers',
  async (type) => {
    await project.write('src/agent.ts', source);
    await project.write('src/words.ts', words);
    await start(type);
    const asked = await client.run('mine', { input: { topic: 'rivers' } });
    expect(asked).toMatchObject({ status: 'interrupted', questions: [{ value: 'go on?' }] });
    const [question] = asked.questions ?? [];
    const run = await client.run(
      'mine',
      { answers: { [question?.id ?? '']: 'yes' }, resume: { [question?.interruptId ?? '']: 'yes' } },
      { thread: asked.thread },
    );
    expect(run.status).toBe('succeeded');
    expect(await client.values(asked.thread)).toMatchObject({ log: ['hello rivers: yes'] });
  },
);

it('with a fault in it stops the worker from starting, and every fault is named', async () => {
  await project.write('src/agent.ts', 'export const other = 1;');
  await expect(start()).rejects.toThrow(/mine[\s\S]*graph/);
});
