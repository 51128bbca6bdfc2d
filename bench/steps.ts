import { setTimeout as pause } from 'node:timers/promises';
import { Annotation, END, type LangGraphRunnableConfig, START, StateGraph } from '@langchain/langgraph';

const State = Annotation.Root({
  /** How many steps the run takes, and how many events each streams, at the pace of a model. */
  steps: Annotation<number>,
  events: Annotation<number>,
  done: Annotation<number>({ reducer: (all, more) => all + more, default: () => 0 }),
  /** What a step leaves: the same number of bytes each time. */
  note: Annotation<string>,
});

const NOTE_BYTES = 1000;
const EVENT_PAUSE_MS = 20;

/** Steps that cost nothing themselves, for what Millrace takes for each. */
export const graph = new StateGraph(State)
  .addNode('step', async ({ done, events = 0 }, { writer }: LangGraphRunnableConfig) => {
    for (let i = 0; i < events; i++) {
      await pause(EVENT_PAUSE_MS);
      writer?.({ token: 'token ' });
    }
    return { done: 1, note: `${done}`.padEnd(NOTE_BYTES, 'x') };
  })
  .addEdge(START, 'step')
  // A run on a thread goes on counting where the one before has ended.
  .addConditionalEdges('step', ({ done, steps }) => (done % steps === 0 ? END : 'step'), ['step', END])
  .compile();
