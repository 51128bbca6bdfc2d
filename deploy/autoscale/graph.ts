import { setTimeout as pause } from 'node:timers/promises';
import { Annotation, END, type LangGraphRunnableConfig, START, StateGraph } from '@langchain/langgraph';

const State = Annotation.Root({
  /** How many steps the run takes, and how long each. */
  steps: Annotation<number>,
  stepMs: Annotation<number>,
  done: Annotation<number>({ reducer: (all, more) => all + more, default: () => 0 }),
});

/** An agent that waits for its model again and again, without the model. */
export const graph = new StateGraph(State)
  .addNode('think', async ({ stepMs }, { signal }: LangGraphRunnableConfig) => {
    await pause(stepMs, undefined, signal && { signal });
    return { done: 1 };
  })
  .addEdge(START, 'think')
  .addConditionalEdges('think', ({ done, steps }) => (done < steps ? 'think' : END), ['think', END]);
