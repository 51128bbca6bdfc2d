import { setTimeout as sleep } from 'node:timers/promises';
import { AIMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import {
  Annotation,
  END,
  interrupt,
  type LangGraphRunnableConfig,
  MessagesAnnotation,
  Send,
  START,
  StateGraph,
} from '@langchain/langgraph';
import { ToolNode } from '@langchain/langgraph/prebuilt';
import { z } from 'zod';

/** Graphs whose steps report to a ledger outside the worker (`configurable.ledger`, a URL), and may be held there. */

const State = Annotation.Root({
  text: Annotation<string>,
  /** The steps that ran, in the order their results were stored. */
  log: Annotation<string[]>({ reducer: (all, more) => all.concat(more), default: () => [] }),
});
type State = typeof State.State;

/**
 * Tells the ledger that a step was called; resolves when the ledger lets it go on. Who cannot name one in the config has
 * the worker's variable.
 */
async function call(step: string, config: LangGraphRunnableConfig): Promise<void> {
  const { ledger = process.env.TEST_LEDGER, run_id } = config.configurable ?? {};
  if (typeof ledger !== 'string') return;
  const response = await fetch(ledger, {
    method: 'POST',
    body: JSON.stringify({ step, run: run_id }),
    ...(config.signal && { signal: config.signal }),
  });
  await response.text();
}

const step = (name: string) => async (state: State, config: LangGraphRunnableConfig) => {
  await call(name, config);
  return { log: [`${name}:${state.text ?? ''}`] };
};

const asks =
  (name: string, ...questions: string[]) =>
  async (_: State, config: LangGraphRunnableConfig) => {
    await call(name, config);
    const answers = questions.map((question) => String(interrupt({ question })));
    await call(`${name}:answered`, config);
    return { log: [`${name}:${answers.join('+')}`] };
  };

export const echo = new StateGraph(State)
  .addNode('echo', step('echo'))
  .addEdge(START, 'echo')
  .addEdge('echo', END);

export const chain = new StateGraph(State)
  .addNode('a', step('a'))
  .addNode('b', step('b'))
  .addNode('c', step('c'))
  .addEdge(START, 'a')
  .addEdge('a', 'b')
  .addEdge('b', 'c')
  .addEdge('c', END);

const part = (name: 'one' | 'two' | 'three') => async (state: State, config: LangGraphRunnableConfig) => {
  await call(name, config);
  return { [name]: state.text };
};

/** Each step writes what no other step touches. */
export const parts = new StateGraph(
  Annotation.Root({
    ...State.spec,
    one: Annotation<string>,
    two: Annotation<string>,
    three: Annotation<string>,
  }),
)
  .addNode('writeOne', part('one'))
  .addNode('writeTwo', part('two'))
  .addNode('writeThree', part('three'))
  .addEdge(START, 'writeOne')
  .addEdge('writeOne', 'writeTwo')
  .addEdge('writeTwo', 'writeThree')
  .addEdge('writeThree', END);

export const siblings = new StateGraph(State)
  .addNode('x', step('x'))
  .addNode('y', step('y'))
  .addNode('z', step('z'))
  .addNode('join', step('join'))
  .addEdge(START, 'x')
  .addEdge(START, 'y')
  .addEdge(START, 'z')
  .addEdge(['x', 'y', 'z'], 'join')
  .addEdge('join', END);

export const fan = new StateGraph(State)
  .addNode('plan', step('plan'))
  .addNode('work', step('work'))
  .addNode('gather', step('gather'))
  .addEdge(START, 'plan')
  .addConditionalEdges('plan', () => ['1', '2'].map((text) => new Send('work', { text, log: [] })), ['work'])
  .addEdge('work', 'gather')
  .addEdge('gather', END);

const inside = new StateGraph(State)
  .addNode('first', step('first'))
  .addNode('second', step('second'))
  .addEdge(START, 'first')
  .addEdge('first', 'second')
  .addEdge('second', END)
  .compile();

export const nest = new StateGraph(State)
  .addNode('inside', inside)
  .addEdge(START, 'inside')
  .addEdge('inside', END);

/** One of two steps that a third waits for is far behind the other. */
export const uneven = new StateGraph(State)
  .addNode('short', step('short'))
  .addNode('long', step('long'))
  .addNode('longer', step('longer'))
  .addNode('meet', step('meet'))
  .addEdge(START, 'short')
  .addEdge(START, 'long')
  .addEdge('long', 'longer')
  .addEdge(['short', 'longer'], 'meet')
  .addEdge('meet', END);

export const ask = new StateGraph(State)
  .addNode('ask', asks('ask', 'sure?'))
  .addNode('after', step('after'))
  .addEdge(START, 'ask')
  .addEdge('ask', 'after')
  .addEdge('after', END);

export const askTwice = new StateGraph(State)
  .addNode('ask', asks('ask', 'first?', 'second?'))
  .addEdge(START, 'ask')
  .addEdge('ask', END);

export const askBoth = new StateGraph(State)
  .addNode('left', asks('left', 'left?'))
  .addNode('right', asks('right', 'right?'))
  .addEdge(START, 'left')
  .addEdge(START, 'right')
  .addEdge('left', END)
  .addEdge('right', END);

const nested = new StateGraph(State)
  .addNode('inner', asks('inner', 'first?', 'second?'))
  .addEdge(START, 'inner')
  .addEdge('inner', END)
  .compile();

export const askNested = new StateGraph(State)
  .addNode('outer', async (state, config) => {
    const { log } = await nested.invoke({ text: state.text ?? '' }, config);
    return { log };
  })
  .addEdge(START, 'outer')
  .addEdge('outer', END);

export const approval = new StateGraph(State)
  .addNode('prepare', step('prepare'))
  .addNode('pay', step('pay'))
  .addEdge(START, 'prepare')
  .addEdge('prepare', 'pay')
  .addEdge('pay', END)
  .compile({ interruptBefore: ['pay'] });

export const fails = new StateGraph(State)
  .addNode('fails', async (_, config) => {
    await call('fails', config);
    throw new TypeError('this graph always fails');
  })
  .addEdge(START, 'fails')
  .addEdge('fails', END);

export const endless = new StateGraph(State)
  .addNode('again', step('again'))
  .addEdge(START, 'again')
  .addEdge('again', 'again');

const wait = tool(
  async (_, config: LangGraphRunnableConfig) => {
    await call('tool', config);
    return 'done';
  },
  { name: 'wait', schema: z.object({}) },
);

/** Calls a tool, as a model would have it. */
export const callsTool = new StateGraph(MessagesAnnotation)
  .addNode('model', () => ({
    messages: [new AIMessage({ content: '', tool_calls: [{ id: 'call', name: 'wait', args: {} }] })],
  }))
  .addNode('tools', new ToolNode([wait]))
  .addEdge(START, 'model')
  .addEdge('model', 'tools')
  .addEdge('tools', END);

/** Its first step hears no signal. */
export const deaf = new StateGraph(State)
  .addNode('deaf', async (_, { configurable }) => {
    await call('deaf', { configurable: { ...configurable } });
    return { log: ['deaf'] };
  })
  .addNode('after', step('after'))
  .addEdge(START, 'deaf')
  .addEdge('deaf', 'after')
  .addEdge('after', END);

/** Writes as many events, of as many bytes, as its text says: `800 x 50000`. */
export const flood = new StateGraph(State)
  .addNode('flood', async (state, config) => {
    const [count = 0, bytes = 0] = (state.text ?? '').split(' x ').map(Number);
    for (let i = 0; i < count; i++) {
      config.writer?.('x'.repeat(bytes));
      // Lets what is written go out.
      if (i % 100 === 99) await new Promise(setImmediate);
    }
    return { log: [`flood:${count}`] };
  })
  .addEdge(START, 'flood')
  .addEdge('flood', END);

/** For callers that say nothing but a query. */
const Query = Annotation.Root({ query: Annotation<string> });
export const query = new StateGraph(Query)
  .addNode('answer', async (_, config) => {
    await call('query', config);
    return {};
  })
  .addEdge(START, 'answer')
  .addEdge('answer', END);

/** What kills its process: `configurable.death`. */
const deaths: Record<string, () => unknown> = {
  exit: () => process.exit(1),
  kill: () => process.kill(process.pid, 'SIGKILL'),
  stack: function again() {
    again();
  },
  memory: () => {
    const hoard: number[][] = [];
    for (;;) hoard.push(Array.from({ length: 1_000_000 }, (_, i) => i));
  },
};

export const poison = new StateGraph(State)
  .addNode('poison', async (_, config) => {
    await call('poison', config);
    deaths[String(config.configurable?.death)]?.();
    await new Promise(() => undefined);
    return {};
  })
  .addEdge(START, 'poison')
  .addEdge('poison', END);

/** One step that takes its time. */
export const long = new StateGraph(State)
  .addNode('long', async (state, config) => {
    await call('long', config);
    await sleep(Number(config.configurable?.ms ?? 0));
    return { log: [`long:${state.text}`] };
  })
  .addEdge(START, 'long')
  .addEdge('long', END);

/** An agent that answers with an image. */
export const draws = new StateGraph(MessagesAnnotation)
  .addNode('draw', async () => ({
    messages: [
      new AIMessage({
        content: [
          { type: 'text', text: 'Here it is:' },
          { type: 'image', mimeType: 'image/png', data: 'iVBORw0KGgo=' },
        ],
      }),
    ],
  }))
  .addEdge(START, 'draw')
  .addEdge('draw', END);
