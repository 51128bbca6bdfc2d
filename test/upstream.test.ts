import { randomUUID } from 'node:crypto';
import { Client } from '@langchain/langgraph-sdk';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { makeTestProject } from '../apps/worker/src/loader/test-project.ts';
import type { AppProcess } from './processes.ts';
import { startTraceCollector } from './trace-collector.ts';
import { metric, startScene, stdioServer, type UpstreamScene } from './upstream-scene.ts';

/** Agents with tools of MCP servers: the demo model calls what it is told to. */

let scene: UpstreamScene;

beforeAll(async () => {
  scene = await startScene();
});

afterEach(() => scene.clear());
afterAll(() => scene.close());

it('calls tools over HTTP and standard input, under the name of their server, and only those allowed', async () => {
  const docs = await scene.upstream();
  const { url } = docs;
  const worker = await scene.worker(
    {
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the file's own form.
      docs: { type: 'http', url, headers: { Authorization: 'Bearer ${SECRET}' }, tools: ['echo', 'lost'] },
      local: { ...stdioServer, env: { GREETING: 'hello' } },
    },
    { SECRET: 'abc' },
  );
  const { answer } = await scene.ask(
    'call docs__echo {"text": "over HTTP"}, call local__echo {"text": "ab", "times": 2}, ' +
      'call docs__pay {"to": "ann"}, call local__files_read',
  );
  expect(answer).toBe('docs__echo: over HTTP local__echo: abab local__files_read: reached');
  expect(docs.headers.map(({ authorization }) => authorization)).toEqual(
    docs.headers.map(() => 'Bearer abc'),
  );
  expect(docs.calls.map(({ tool }) => tool)).toEqual(['echo']);
  expect(worker.log.filter((line) => line.includes('"missing":["lost"]'))).toHaveLength(1);
  expect(await metric(worker, 'millrace_tool_calls_total{tool="docs__echo",status="ok"}')).toBe(1);
  expect(await metric(worker, 'millrace_mcp_upstream_up{server="local"}')).toBe(1);
});

it("calls another Millrace's agent, and outlives it", async () => {
  const other = await startScene();
  const query = 'call other__agent {"message": "What is 6*7?"}';
  let worker: AppProcess | undefined;
  try {
    await other.worker({});
    worker = await scene.worker({ other: { url: `${other.url}/mcp` } });
    expect((await scene.ask(query)).answer).toEqual(expect.stringContaining('6*7 = 42.'));
  } finally {
    await other.close();
  }
  expect((await scene.ask(query)).answer).toEqual(expect.stringContaining('The MCP server "other" '));
  await worker.logged('the MCP server other is down');
  expect((await scene.ask(query)).answer).toEqual(expect.stringContaining('"other" is down'));
});

it('tells the model what is wrong with a call, and the run goes on', async () => {
  const docs = await scene.upstream();
  const worker = await scene.worker({ docs: { url: docs.url } });
  const { status, answer } = await scene.ask('call docs__fail and call docs__echo {"times": "many"}');
  expect(status).toBe('succeeded');
  expect(answer).toEqual(expect.stringContaining('docs__fail failed: McpToolError: no such customer'));
  expect(answer).toEqual(expect.stringMatching(/docs__echo failed: .*did not match expected schema/));
  expect(docs.calls.map(({ tool }) => tool)).toEqual(['fail']);
  expect(await metric(worker, 'millrace_tool_calls_total{tool="docs__fail",status="error"}')).toBe(1);
});

it('gives up a call that takes too long, and says so to the model and to the server', async () => {
  const docs = await scene.upstream();
  docs.hold();
  await scene.worker({ docs: { url: docs.url, timeout: 0.5 } });
  const { answer } = await scene.ask('call docs__echo {"text": "x"}, call docs__pay {"to": "ann"}');
  expect(answer).toEqual(expect.stringContaining('"docs" did not answer "echo" within 0.5 s. The tool'));
  expect(answer).toEqual(
    expect.stringContaining('"pay" within 0.5 s. It may have done its work all the same'),
  );
  for (const { signal } of docs.calls) await aborted(signal);
});

it('takes back the calls of a run that is cancelled', async () => {
  const docs = await scene.upstream();
  docs.hold();
  await scene.worker({ docs: { url: docs.url } });
  const thread_id = randomUUID();
  const asked = scene.post({ thread_id, query: 'call docs__echo {"text": "x"}' });
  await docs.called();
  const sdk = new Client({ apiUrl: scene.url, apiKey: null });
  const [run] = await sdk.runs.list(thread_id);
  await sdk.runs.cancel(thread_id, run?.run_id ?? '');
  expect((await asked).status).toBe('cancelled');
  for (const { signal } of docs.calls) await aborted(signal);
});

it('sends the trace along', async () => {
  const collector = await startTraceCollector();
  try {
    const docs = await scene.upstream();
    await scene.worker(
      { docs: { url: docs.url } },
      {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
        OTEL_BSP_SCHEDULE_DELAY: '50',
      },
    );
    await scene.ask('call docs__echo {"text": "x"}');
    const span = await collector.find(() =>
      collector.spans.find(({ name }) => name === 'execute_tool docs__echo'),
    );
    expect(docs.calls[0]?.meta?.traceparent).toEqual(
      expect.stringContaining(`-${span.traceId}-${span.spanId}-`),
    );
  } finally {
    await collector.close();
  }
});

it("offers the tools to a developer's own graph, with its own LangChain", async () => {
  const project = await makeTestProject();
  try {
    await project.write('package.json', { type: 'module' });
    await project.write('graphs.ts', own);
    const config = await project.write('langgraph.json', { graphs: { own: './graphs.ts:graph' } });
    const docs = await scene.upstream();
    await scene.worker({ docs: { url: docs.url } }, { LANGGRAPH_CONFIG: config });
    const sdk = new Client({ apiUrl: scene.url, apiKey: null });
    const input = { messages: [{ role: 'user', content: 'hello' }] };
    const { messages } = (await sdk.runs.wait(null, 'own', { input })) as { messages: { content: string }[] };
    expect(messages.at(-1)?.content).toBe('hello');
    expect(docs.calls[0]?.meta?.['millrace/idempotency-key']).toEqual(expect.stringMatching(/^[\w-]{43}$/));
  } finally {
    await project.remove();
  }
});

const own = `
import { AIMessage } from '@langchain/core/messages';
import { END, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
import { ToolNode } from '@langchain/langgraph/prebuilt';

export const graph = (config) => {
  const call = (text) => ({ name: 'docs__echo', args: { text }, id: 'one', type: 'tool_call' });
  return new StateGraph(MessagesAnnotation)
    .addNode('model', ({ messages }) => ({
      messages: [new AIMessage({ content: '', tool_calls: [call(messages.at(-1).content)] })],
    }))
    .addNode('tools', new ToolNode(config.configurable?.mcp_tools?.() ?? []))
    .addNode('say', ({ messages }) => ({ messages: [new AIMessage(messages.at(-1).content)] }))
    .addEdge(START, 'model')
    .addEdge('model', 'tools')
    .addEdge('tools', 'say')
    .addEdge('say', END);
};
`;

/** Resolves when the caller has taken a call back. */
async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
}
