import { spawnSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { AIMessage, type BaseMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import {
  Annotation,
  END,
  entrypoint,
  getConfig,
  interrupt,
  type LangGraphRunnableConfig,
  MessagesAnnotation,
  START,
  StateGraph,
  task,
} from '@langchain/langgraph';
import { ToolNode } from '@langchain/langgraph/prebuilt';
import { z } from 'zod';

/** Graphs whose nodes and tools have effects outside: each is a post to the ledger, with its idempotency key. */

/** A file for whose appearance this process stands still. */
const { BLOCK_UNTIL: blockUntil } = process.env;

type Config = LangGraphRunnableConfig;

async function post(step: string, config: Config): Promise<void> {
  const { ledger, run_id, idempotency_key } = config.configurable ?? {};
  const response = await fetch(ledger, {
    method: 'POST',
    headers: { 'Idempotency-Key': idempotency_key(config) },
    body: JSON.stringify({ step, run: run_id }),
    ...(config.signal && { signal: config.signal }),
  });
  await response.text();
}

const notify = tool(
  async ({ to }: { to: string }, config: Config) => {
    await post(`notify ${to}`, config);
    return `told ${to}`;
  },
  { name: 'notify', description: 'Tells somebody.', schema: z.object({ to: z.string() }) },
);

const pay = tool(
  async ({ to }: { to: string }, config: Config) => {
    // At once: what a worker does that will be stopped in a moment.
    if (blockUntil) appendFileSync(`${blockUntil}.paid`, to);
    await post(`pay ${to}`, config);
    if (to === 'nobody') throw new Error('there is nobody');
    return `paid ${to}`;
  },
  {
    name: 'pay',
    description: 'Pays somebody.',
    schema: z.object({ to: z.string() }),
    metadata: { repeatable: false },
  },
);

const confirm = tool(
  async ({ to }: { to: string }, config: Config) => {
    const sure = interrupt(`pay ${to}?`);
    await post(`pay ${to}`, config);
    return `paid ${to}, ${sure}`;
  },
  {
    name: 'confirm',
    description: 'Pays somebody when a person says so.',
    schema: z.object({ to: z.string() }),
    metadata: { repeatable: false },
  },
);

/** Asks for the tool calls that the input names, as `pay ann, notify bob`, and is done when it has their results. */
async function model({ messages }: { messages: BaseMessage[] }, config: Config) {
  const last = messages.at(-1);
  if (last?.getType() === 'tool') {
    await post('done', config);
    return { messages: [new AIMessage('done')] };
  }
  const tool_calls = String(last?.content)
    .split(', ')
    .map((call, i) => {
      const [name = '', to = ''] = call.split(' ');
      return { name, args: { to }, id: `call-${messages.length}-${i}`, type: 'tool_call' as const };
    });
  return { messages: [new AIMessage({ content: '', tool_calls })] };
}

const hasCalls = ({ messages }: { messages: BaseMessage[] }) =>
  (messages.at(-1) as AIMessage | undefined)?.tool_calls?.length ? 'tools' : END;

const builder = new StateGraph(MessagesAnnotation)
  .addNode('model', model)
  .addNode('tools', new ToolNode([notify, pay, confirm]))
  .addEdge(START, 'model')
  .addConditionalEdges('model', hasCalls)
  .addEdge('tools', 'model');

/** All calls are one task. */
export const agent = builder.compile();

/** Somebody must say yes before its tools are called. */
export const approved = builder.compile({ interruptBefore: ['tools'] });

/** An agent that is a node, and one that a node calls. */
export const nested = new StateGraph(MessagesAnnotation)
  .addNode('outer', agent)
  .addEdge(START, 'outer')
  .addEdge('outer', END);
export const called = new StateGraph(MessagesAnnotation)
  .addNode('outer', async ({ messages }, config) => {
    const result = await agent.invoke({ messages }, config);
    return { messages: result.messages };
  })
  .addEdge(START, 'outer')
  .addEdge('outer', END);

const State = Annotation.Root({ text: Annotation<string> });
const posts = (step: string) => async (_: unknown, config: Config) => {
  await post(step, config);
  return { text: step };
};
const inner = new StateGraph(State)
  .addNode('inner', posts('inner'))
  .addEdge(START, 'inner')
  .addEdge('inner', END)
  .compile();

/** Plain nodes, one of them a sub-graph. */
export const nodes = new StateGraph(State)
  .addNode('first', posts('first'))
  .addNode('outer', inner)
  .addEdge(START, 'first')
  .addEdge('first', 'outer')
  .addEdge('outer', END);

const write = task('write', async (step: string) => {
  await post(step, getConfig());
  return step;
});

export const functional = entrypoint('functional', async (_: unknown, config: Config) => {
  await post('entry', config);
  return { answer: `${await write('one')} ${await write('two')}` };
});

/** Pays in a plain node, between two questions. */
export const asking = new StateGraph(State)
  .addNode('node', async (_, config: Config) => {
    const to = interrupt('whom?');
    await post('before', config);
    if (blockUntil) spawnSync('sh', ['-c', 'until [ -e "$0" ]; do sleep 0.05; done', blockUntil]);
    const paid = await pay.invoke({ to }, config);
    return { text: `${paid}, ${interrupt('satisfied?')}` };
  })
  .addEdge(START, 'node')
  .addEdge('node', END);

/** Its second step ends the process, for as long as the environment says so. */
export const deadly = new StateGraph(MessagesAnnotation)
  .addNode('a', async (_, config: Config) => {
    await post('a', config);
    return { messages: [new AIMessage('a')] };
  })
  .addNode('b', async (_, config: Config) => {
    await post('b', config);
    if (process.env.DEADLY) process.kill(process.pid, 'SIGKILL');
    return { messages: [new AIMessage('b')] };
  })
  .addEdge(START, 'a')
  .addEdge('a', 'b')
  .addEdge('b', END);
