import { Annotation, END, START, StateGraph } from '@langchain/langgraph';

const State = Annotation.Root({
  text: Annotation<string>,
  answer: Annotation<string>,
});

/** What every contender executes: one node that costs nothing, so that all that is measured is what is around it. */
export const graph = new StateGraph(State)
  .addNode('reply', ({ text }) => ({ answer: `You said: ${text}` }))
  .addEdge(START, 'reply')
  .addEdge('reply', END)
  .compile();
