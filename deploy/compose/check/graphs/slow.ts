import { setTimeout as sleep } from 'node:timers/promises';
import { Annotation, END, type LangGraphRunnableConfig, START, StateGraph } from '@langchain/langgraph';

const State = Annotation.Root({
  query: Annotation<string>,
  /** The steps whose results were stored, in their order. */
  answer: Annotation<string>({ reducer: (all, more) => `${all} ${more}`.trim(), default: () => '' }),
});

const step =
  (name: string) =>
  async (_: typeof State.State, { signal }: LangGraphRunnableConfig) => {
    await sleep(1000, undefined, signal && { signal });
    return { answer: name };
  };

/** Long enough to be caught by a worker's death, in steps that show what was done again. */
export const graph = new StateGraph(State)
  .addNode('one', step('one'))
  .addNode('two', step('two'))
  .addNode('three', step('three'))
  .addEdge(START, 'one')
  .addEdge('one', 'two')
  .addEdge('two', 'three')
  .addEdge('three', END)
  .compile();
