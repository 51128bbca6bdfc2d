import { AIMessage, type BaseMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import {
  Annotation,
  END,
  entrypoint,
  getConfig,
  type LangGraphRunnableConfig,
  MessagesAnnotation,
  START,
  StateGraph,
  task,
} from '@langchain/langgraph';
import { ToolNode } from '@langchain/langgraph/prebuilt';
import { z } from 'zod';

/** Graphs whose nodes and tools have effects outside: each is a post to the ledger, with its idempotency key. */

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

/** Asks for the tool calls that the input names, as a model would, and is done when it has their results. */
function model(calls: (text: string) => { name: string; args: Record<string, unknown> }[]) {
  return ({ messages }: { messages: BaseMessage[] }) => {
    const last = messages.at(-1);
    if (last?.getType() === 'tool') return { messages: [new AIMessage('done')] };
    const tool_calls = calls(String(last?.content)).map((call, i) => ({
      ...call,
      id: `call-${messages.length}-${i}`,
      type: 'tool_call' as const,
    }));
    return { messages: [new AIMessage({ content: '', tool_calls })] };
  };
}

const hasCalls = ({ messages }: { messages: BaseMessage[] }) =>
  (messages.at(-1) as AIMessage | undefined)?.tool_calls?.length ? 'tools' : END;

/** Two calls of one task, side by side. */
export const agent = new StateGraph(MessagesAnnotation)
  .addNode(
    'model',
    model(() => ['ann', 'bob'].map((to) => ({ name: 'notify', args: { to } }))),
  )
  .addNode('tools', new ToolNode([notify]))
  .addEdge(START, 'model')
  .addConditionalEdges('model', hasCalls)
  .addEdge('tools', 'model');

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
