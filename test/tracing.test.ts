import { fileURLToPath } from 'node:url';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StoreClient } from './client.ts';
import { type Ledger, startLedger } from './ledger.ts';
import { generations, inTurn } from './mcp-client.ts';
import { type OpenAiServer, startOpenAiServer } from './openai-server.ts';
import { type AppProcess, startProcess } from './processes.ts';
import { type CollectedSpan, startTraceCollector, type TraceCollector } from './trace-collector.ts';

/** Traces, from the request to the call of a tool, as a collector gets them from real processes. */

let redis: TestRedis;
let client: StoreClient;
let collector: TraceCollector;
let model: OpenAiServer;
let ledger: Ledger;
let processes: AppProcess[];

const QUESTION = 'What is six times seven, Mr Babbage?';
const ANSWER = 'It is forty-two, Ada.';

beforeEach(async () => {
  redis = await testRedis();
  client = new StoreClient(redis);
  collector = await startTraceCollector();
  ledger = await startLedger();
  model = await startOpenAiServer((_, index) =>
    index % 2 === 0
      ? { toolCalls: [{ name: 'calculator', args: { expression: '6*7' }, id: 'call_one' }] }
      : { reply: ANSWER },
  );
  processes = [];
});

afterEach(async () => {
  await Promise.all(processes.map((one) => one.end('SIGKILL')));
  await Promise.all([collector.close(), model.close(), ledger.close()]);
  await client.close();
  await redis.close();
});

async function start(app: 'gateway' | 'worker', env: Record<string, string>): Promise<AppProcess> {
  const own = await startProcess(app, {
    ...redis.env,
    LEASE_SECONDS: '3',
    ...env,
  });
  processes.push(own);
  return own;
}

const toCollector = () => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
  OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
  OTEL_BSP_SCHEDULE_DELAY: '50',
});
const withModel = () => ({ MODEL: 'openai:test-model', MODEL_BASE_URL: model.baseUrl });
const graphs = { LANGGRAPH_CONFIG: fileURLToPath(new URL('graphs/langgraph.json', import.meta.url)) };

/** A caller's trace, and its span that the request comes from. */
function caller(number: number) {
  const traceId = `0af7651916cd43dd8448eb211c80319${number}`;
  const spanId = `b7ad6b716920333${number}`;
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-01` };
}

const ask = (gateway: AppProcess, headers: Record<string, string> = {}) =>
  fetch(`${gateway.url}/message`, { method: 'POST', body: JSON.stringify({ query: QUESTION }), headers });

/** The names of a trace's spans under one of them, each as deep as it is. */
function treeUnder(parentSpanId: string, depth = 0): string[] {
  return collector.spans
    .filter((span) => span.parentSpanId === parentSpanId)
    .sort((a, b) => Number(startOf(a) - startOf(b)))
    .flatMap((span) => [`${'  '.repeat(depth)}${span.name}`, ...treeUnder(span.spanId, depth + 1)]);
}

const startOf = (span: CollectedSpan) =>
  BigInt((span as unknown as { startTimeUnixNano: string }).startTimeUnixNano);
const named = (name: string, traceId?: string) =>
  collector.spans.find((span) => span.name === name && (traceId === undefined || span.traceId === traceId));

const AGENT = [
  'send default',
  '  process default',
  '    invoke_agent agent',
  '      step model_request',
  '        chat test-model',
  '      step tools',
  '        execute_tool calculator',
  '      step model_request',
  '        chat test-model',
];

describe('a trace', () => {
  it('goes from the caller through gateway, queue and worker to models and tools, without what was said', async () => {
    const [gateway] = await Promise.all([
      start('gateway', toCollector()),
      start('worker', { ...toCollector(), ...withModel() }),
    ]);
    const { traceId, spanId, traceparent } = caller(0);
    expect(await (await ask(gateway, { traceparent })).json()).toMatchObject({
      status: 'succeeded',
      answer: ANSWER,
    });
    const [http, attempt] = await Promise.all(
      ['POST /message', 'process default'].map((name) => collector.find(() => named(name))),
    );
    expect(treeUnder(spanId)).toEqual(['POST /message', ...AGENT.map((name) => `  ${name}`)]);
    expect(http).toMatchObject({
      service: 'millrace-gateway',
      kind: 2,
      attributes: {
        'http.request.method': 'POST',
        'http.route': '/message',
        'http.response.status_code': 200,
      },
    });
    expect(named('send default')).toMatchObject({ service: 'millrace-gateway', kind: 4 });
    expect(attempt).toMatchObject({
      service: 'millrace-worker',
      kind: 5,
      attributes: {
        'messaging.message.id': named('send default')?.attributes['messaging.message.id'],
        'millrace.attempt': 1,
        'millrace.run.status': 'succeeded',
      },
    });
    expect(named('invoke_agent agent')?.attributes).toMatchObject({
      'gen_ai.operation.name': 'invoke_agent',
      'gen_ai.agent.name': 'agent',
    });
    expect(named('chat test-model')).toMatchObject({
      kind: 3,
      status: 0,
      attributes: {
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'openai',
        'gen_ai.request.model': 'test-model',
        'gen_ai.response.model': 'test-model',
        'gen_ai.response.finish_reasons': ['tool_calls'],
        'gen_ai.usage.input_tokens': 7,
        'gen_ai.usage.output_tokens': 1,
      },
    });
    expect(named('execute_tool calculator')?.attributes).toMatchObject({
      'gen_ai.operation.name': 'execute_tool',
      'gen_ai.tool.name': 'calculator',
      'gen_ai.tool.call.id': 'call_one',
    });
    expect(new Set(collector.spans.map((span) => span.traceId))).toEqual(new Set([traceId]));

    for (const [i, { connect }] of generations.entries()) {
      const own = caller(i + 1);
      const mcp = await connect(inTurn([`${gateway.url}/mcp`]), {});
      const { output } = await mcp.call('agent', { message: QUESTION }, { traceparent: own.traceparent });
      expect(output.status).toBe('succeeded');
      await mcp.close();
      const [call] = await Promise.all(
        ['tools/call agent', 'process default'].map((name) => collector.find(() => named(name, own.traceId))),
      );
      expect(treeUnder(own.spanId)).toEqual(['tools/call agent', ...AGENT.map((name) => `  ${name}`)]);
      expect(call).toMatchObject({ kind: 2, status: 0, attributes: { 'mcp.method.name': 'tools/call' } });
      // The HTTP request around it has a trace of its own, and is linked.
      const around = await collector.find(() =>
        collector.spans.find((span) => span.spanId === call?.links[0]?.spanId),
      );
      expect(around.name).toBe('POST /mcp');
      expect(around.traceId).not.toBe(own.traceId);
    }
    for (const { body } of collector.requests) expect(body.toString()).not.toMatch(/Babbage|Ada|6\*7/);
  });

  it('goes on after a worker was killed, tells of failures, and takes no question for one', async () => {
    const [gateway, first] = await Promise.all([
      start('gateway', toCollector()),
      start('worker', { ...toCollector(), ...graphs }),
    ]);
    const { traceId, spanId, traceparent } = caller(0);
    ledger.hold('b');
    const run = (path: string, assistant_id: string, headers: Record<string, string> = {}) =>
      fetch(`${gateway.url}/runs${path}`, {
        method: 'POST',
        headers,
        body: JSON.stringify({
          assistant_id,
          input: {},
          config: { configurable: { ledger: ledger.url } },
        }),
      });
    await run('', 'chain', { traceparent });
    await ledger.called('b');
    await collector.find(() => named('step a'));
    await first.end('SIGKILL');
    ledger.release('b');
    await start('worker', { ...toCollector(), ...graphs });
    const attempt = await collector.find(() => named('process default'));
    expect(attempt.attributes).toMatchObject({ 'millrace.attempt': 2, 'millrace.run.status': 'succeeded' });
    expect(treeUnder(spanId)).toEqual([
      'POST /runs',
      '  send default',
      '    process default',
      '      invoke_agent chain',
      '        step b',
      '        step c',
    ]);
    // What the first attempt had told of before it died.
    expect(named('step a')?.traceId).toBe(traceId);

    await run('/wait', 'ask');
    await run('/wait', 'fails');
    const ended = (status: string) =>
      collector.find(() => collector.spans.find((span) => span.attributes['millrace.run.status'] === status));
    expect((await ended('interrupted')).status).toBe(0);
    expect(named('step ask')?.status).toBe(0);
    expect(await ended('failed')).toMatchObject({ status: 2, attributes: { 'error.type': 'graph_error' } });
    expect(named('step fails')).toMatchObject({ status: 2, attributes: { 'error.type': 'TypeError' } });
  });

  it('tells what was said when that is asked for', async () => {
    const env = { ...toCollector(), OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: 'true' };
    const [gateway] = await Promise.all([start('gateway', env), start('worker', { ...env, ...withModel() })]);
    await ask(gateway);
    await collector.find(() => named('process default'));
    const chats = collector.spans.filter((span) => span.name === 'chat test-model');
    const said = (span: CollectedSpan | undefined, what: 'input' | 'output') =>
      JSON.parse(String(span?.attributes[`gen_ai.${what}.messages`]));
    expect(said(chats[0], 'input')).toMatchObject([
      { role: 'system', parts: [{ type: 'text' }] },
      { role: 'user', parts: [{ type: 'text', content: QUESTION }] },
    ]);
    expect(said(chats[0], 'output')).toMatchObject([
      {
        role: 'assistant',
        parts: [{ type: 'tool_call', id: 'call_one', name: 'calculator', arguments: { expression: '6*7' } }],
        finish_reason: 'tool_calls',
      },
    ]);
    expect(said(chats[1], 'input').at(-1)).toEqual({
      role: 'tool',
      parts: [{ type: 'tool_call_response', id: 'call_one', response: '42' }],
    });
    expect(said(chats[1], 'output')).toMatchObject([{ parts: [{ type: 'text', content: ANSWER }] }]);
    expect(named('execute_tool calculator')?.attributes).toMatchObject({
      'gen_ai.tool.call.arguments': '{"expression":"6*7"}',
      'gen_ai.tool.call.result': '42',
    });
  });
});

describe('traces go', () => {
  it('to Langfuse by its own variables, as protobuf, and to LangSmith by LangChain’s own tracer', async () => {
    const worker = await start('worker', {
      ...withModel(),
      OTEL_BSP_SCHEDULE_DELAY: '600000',
      LANGFUSE_PUBLIC_KEY: 'pk-lf-1',
      LANGFUSE_SECRET_KEY: 'sk-lf-2',
      LANGFUSE_BASE_URL: `${collector.url}/`,
      LANGSMITH_TRACING: 'true',
      LANGSMITH_API_KEY: 'ls-key',
      LANGSMITH_ENDPOINT: collector.url,
    });
    await client.run('agent', { input: { messages: [{ role: 'user', content: QUESTION }] } });
    const sentTo = (path: string) => collector.requests.filter((one) => one.path.startsWith(path));
    const textOf = (sent: { body: Buffer }[]) => sent.map((one) => one.body.toString('latin1')).join('\n');
    const names = ['calculator', 'model_request', 'ChatOpenAI'].map((name) => `"name":"${name}"`);
    await collector.find(() => names.every((name) => textOf(sentTo('/runs')).includes(name)));
    expect(sentTo('/runs')[0]?.headers['x-api-key']).toBe('ls-key');

    // What has not been sent yet is sent on leaving.
    expect(sentTo('/api')).toEqual([]);
    expect(await worker.end('SIGTERM')).toBe(0);
    const langfuse = sentTo('/api/public/otel/v1/traces');
    expect(langfuse[0]?.headers).toMatchObject({
      authorization: `Basic ${Buffer.from('pk-lf-1:sk-lf-2').toString('base64')}`,
      'content-type': 'application/x-protobuf',
    });
    expect(textOf(langfuse)).toContain('execute_tool calculator');
  });

  it('nowhere while the collector is away, which costs no run and no orderly end', async () => {
    const { url } = collector;
    await collector.close();
    const worker = await start('worker', { ...withModel(), OTEL_EXPORTER_OTLP_ENDPOINT: url });
    const run = await client.run('agent', { input: { messages: [{ role: 'user', content: QUESTION }] } });
    expect(run.status).toBe('succeeded');
    expect(await worker.end('SIGTERM')).toBe(0);
    collector = await startTraceCollector();
  });
});
