// What the suite asks for by name, as anybody could write it: a graph for each tool.
import { setTimeout as sleep } from 'node:timers/promises';
import {
  Annotation,
  END,
  interrupt,
  type LangGraphRunnableConfig,
  START,
  StateGraph,
} from '@langchain/langgraph';
import { z } from 'zod';

const answer = z.unknown().optional();

/** A graph of one step that takes these arguments and gives an answer: a text, or a list of content. */
function tool<Shape extends z.ZodRawShape>(
  args: Shape,
  work: (args: z.infer<z.ZodObject<Shape>>, config: LangGraphRunnableConfig) => unknown,
) {
  const input = z.object(args);
  const node = async (state: unknown, config: LangGraphRunnableConfig) => ({
    answer: await work(input.parse(state), config),
  });
  return new StateGraph({ state: z.object({ ...args, answer }), input })
    .addNode('work', node as never)
    .addEdge(START, 'work')
    .addEdge('work', END);
}

const pixel =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
const image = { type: 'image', data: pixel, mimeType: 'image/png' };
/** A WAV file without a sample. */
const audio = {
  type: 'audio',
  data: 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=',
  mimeType: 'audio/wav',
};
const resource = (uri: string, mimeType: string, text: string) => ({
  type: 'resource',
  resource: { uri, mimeType, text },
});

export const simpleText = tool({}, () => 'This is a simple text response for testing.');
export const imageContent = tool({}, () => [image]);
export const audioContent = tool({}, () => [audio]);
export const embeddedResource = tool({}, () => [
  resource('test://embedded-resource', 'text/plain', 'This is an embedded resource content.'),
]);
export const mixedContent = tool({}, () => [
  { type: 'text', text: 'Multiple content types test:' },
  image,
  resource('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
]);
export const errorHandling = tool({}, () => {
  throw new Error('This tool intentionally returns an error for testing');
});

const Progress = Annotation.Root({ answer: Annotation<string> });
const step = (text: string) => async () => {
  // Progress is told once a second.
  await sleep(800);
  return { answer: text };
};
/** Each step is one message of progress. */
export const withProgress = new StateGraph(Progress)
  .addNode('first', step('0'))
  .addNode('second', step('50'))
  .addNode('third', step('100'))
  .addEdge(START, 'first')
  .addEdge('first', 'second')
  .addEdge('second', 'third')
  .addEdge('third', END);

/** Asks for a form; what a person fills in comes back as the answer of `interrupt`. */
const form = (message: string, properties: object, required: string[] = []) =>
  interrupt({ message, requestedSchema: { type: 'object', properties, required } });
const text = { type: 'string' };
const done = (answer: unknown) => `Elicitation completed: ${JSON.stringify(answer)}`;

export const elicitation = tool({ message: z.string() }, ({ message }) =>
  done(form(message, { username: text, email: text }, ['username', 'email'])),
);
export const elicitationDefaults = tool({}, () =>
  done(
    form('Some fields have a default', {
      name: { type: 'string', default: 'John Doe' },
      age: { type: 'integer', default: 30 },
      score: { type: 'number', default: 95.5 },
      status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
      verified: { type: 'boolean', default: true },
    }),
  ),
);
export const elicitationEnums = tool({}, () => {
  const options = ['option1', 'option2', 'option3'];
  const titled = [1, 2, 3].map((n) => ({ const: `value${n}`, title: `Option ${n}` }));
  return done(
    form('Choose', {
      untitledSingle: { type: 'string', enum: options },
      titledSingle: { type: 'string', oneOf: titled },
      legacyEnum: { type: 'string', enum: ['opt1', 'opt2'], enumNames: ['Option One', 'Option Two'] },
      untitledMulti: { type: 'array', items: { type: 'string', enum: options } },
      titledMulti: { type: 'array', items: { anyOf: titled } },
    }),
  );
});

export const asksName = tool({}, () => {
  const { name } = form('What is your name?', { name: text }, ['name']) as { name: string };
  return `Hello, ${name}!`;
});
export const asksToConfirm = tool({}, () => {
  form('Please confirm', { ok: { type: 'boolean' } }, ['ok']);
  return 'state-ok';
});
export const asksTwice = tool({}, () => {
  const { name } = form('Step 1: What is your name?', { name: text }, ['name']) as { name: string };
  const { color } = form('Step 2: What is your favorite color?', { color: text }, ['color']) as {
    color: string;
  };
  return `${name} likes ${color}`;
});

/** The name is for a person to say. */
export const greetsPerson = tool(
  { name: z.string().meta({ 'x-ask-person': true }) },
  ({ name }) => `Hello, ${name}!`,
);
/** A client may be told by a header where a call goes. */
export const routed = tool({ region: z.string().meta({ 'x-mcp-header': 'Region' }) }, ({ region }) => region);

const address = z
  .object({ street: z.string().optional(), city: z.string().optional() })
  .meta({ id: 'address', $anchor: 'addressDef' });
export const describesAddress = tool({ name: z.string(), address: address.optional() }, ({ name }) => name);

export const greet = tool({ name: z.string() }, ({ name }) => `Hello, ${name}!`);
export const slowCompute = tool(
  { seconds: z.number(), label: z.string().optional() },
  async ({ seconds, label }, { signal }) => {
    await sleep(seconds * 1000, undefined, signal ? { signal } : {});
    return `done ${label ?? ''}`;
  },
);
export const failingJob = tool({}, async () => {
  await sleep(500);
  throw new Error('The job failed');
});
export const confirmDelete = tool({ filename: z.string() }, ({ filename }) =>
  done(form(`Delete ${filename}?`, { confirm: { type: 'boolean' } }, ['confirm'])),
);
/** Takes its worker along, so that its task fails for no reason of the tool's. */
export const crashes = tool({}, () => process.exit(1));

const Answers = Annotation.Root({
  answers: Annotation<string[]>({ reducer: (all, more) => all.concat(more), default: () => [] }),
});
const asks = (what: string, type: string) => async () => ({
  answers: [JSON.stringify(form(`And the ${what}?`, { [what]: { type } }, [what]))],
});
/** Two steps side by side, so that both questions are open at once. */
export const asksBoth = new StateGraph(Answers)
  .addNode('name', asks('name', 'string'))
  .addNode('confirm', asks('confirm', 'boolean'))
  .addEdge(START, 'name')
  .addEdge(START, 'confirm')
  .addEdge('name', END)
  .addEdge('confirm', END);
