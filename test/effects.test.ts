import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { BaseMessage, ToolMessage } from '@langchain/core/messages';
import { Client } from '@langchain/langgraph-sdk';
import type { Json } from '@millrace/shared/contract/json';
import type { RunRecord } from '@millrace/shared/contract/run';
import { createLogger } from '@millrace/shared/logger';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createServices, type Services } from '../apps/gateway/src/services.ts';
import { submitRun } from '../apps/gateway/src/use-cases/submit-run.ts';
import { makeTestProject } from '../apps/worker/src/loader/test-project.ts';
import { StoreClient } from './client.ts';
import { holdingProxy } from './holding-proxy.ts';
import { type Ledger, startLedger } from './ledger.ts';
import { generations, inTurn } from './mcp-client.ts';
import { type AppProcess, startProcess } from './processes.ts';
import { sweepUntil } from './sweeping.ts';

let redis: TestRedis;
let client: StoreClient;
let services: Services;
let stopSweeping: () => Promise<void>;
let ledger: Ledger;
let processes: AppProcess[];
/** The one that does the work; a test that kills it leaves another one behind, for the next. */
let worker: AppProcess;

const graphs = fileURLToPath(new URL('graphs/effects.json', import.meta.url));

async function start(app: 'gateway' | 'worker', env: Record<string, string> = {}): Promise<AppProcess> {
  const started = await startProcess(app, {
    REDIS_URL: redis.url,
    REDIS_PREFIX: redis.keys.prefix,
    LANGGRAPH_CONFIG: graphs,
    LEASE_SECONDS: '1',
    DRAIN_SECONDS: '1',
    ...env,
  });
  processes.push(started);
  return started;
}

/** Ends the worker and puts another in its place. */
async function replaceWorker(env: Record<string, string> = {}): Promise<void> {
  await worker.end('SIGKILL');
  worker = await start('worker', env);
}

/** Kills the worker while it is in this step, and lets another one take over. */
async function killIn(step: string): Promise<void> {
  await ledger.called(step);
  await worker.end('SIGKILL');
  ledger.release(step);
  worker = await start('worker');
}

beforeAll(async () => {
  redis = await testRedis();
  client = new StoreClient(redis);
  processes = [];
  const { redis: connection, keys } = redis;
  services = createServices({
    redis: connection,
    checkpointRedis: redis.checkpoints,
    subscriber: redis.subscriber(),
    keys,
    logger: createLogger('test', 'silent'),
  });
  stopSweeping = sweepUntil(client);
  worker = await start('worker');
});

afterAll(async () => {
  await stopSweeping();
  await Promise.all(processes.map((one) => one.end('SIGKILL')));
  await services.close();
  await client.close();
  await redis.close();
});

beforeEach(async () => {
  ledger = await startLedger();
  // A test that failed may have left none.
  if (worker.hasExited()) worker = await start('worker');
});

afterEach(() => ledger.close());

const says = (content: string) => ({ messages: [{ role: 'user', content }] });
const configured = () => ({ config: { configurable: { ledger: ledger.url } } });

describe('an idempotency key', () => {
  it('of a tool call is the same after kill -9, and another for each call and each run', async () => {
    ledger.hold('notify ann');
    const input = says('notify ann, notify bob');
    const { runId, thread } = await client.submit('agent', { input, ...configured() });
    await ledger.called('notify bob');
    await killIn('notify ann');
    expect(await client.end(runId)).toMatchObject({ status: 'succeeded', attempt: 2 });
    const [ann, again] = ledger.keys('notify ann');
    expect(ann).toEqual(expect.stringMatching(/^[\w-]{43}$/));
    expect(again).toBe(ann);
    expect(new Set([ann, ...ledger.keys('notify bob')]).size).toBe(2);

    expect((await client.run('agent', { input, ...configured() }, { thread })).status).toBe('succeeded');
    expect(new Set(ledger.keys('notify ann')).size).toBe(2);
  });

  it('of a plain node, in a sub-graph too, is the same after kill -9', async () => {
    ledger.hold('inner');
    const { runId } = await client.submit('nodes', configured());
    await killIn('inner');
    expect((await client.end(runId)).status).toBe('succeeded');
    const [key, again] = ledger.keys('inner');
    expect(again).toBe(key);
    expect(ledger.keys('first')).not.toContain(key);
  });

  it('of a functional graph and of its tasks is the same after kill -9', async () => {
    ledger.hold('two');
    const { runId } = await client.submit('functional', configured());
    await killIn('two');
    expect((await client.end(runId)).status).toBe('succeeded');
    const keys = ['entry', 'one', 'two'].map((step) => new Set(ledger.keys(step)));
    expect(keys.map((one) => one.size)).toEqual([1, 1, 1]);
    expect(new Set(keys.flatMap((one) => [...one])).size).toBe(3);
    expect(ledger.count('entry')).toBe(2);
  });

  it('cannot change because the checkpoint that it comes from was never stored', async () => {
    const checkpoints = await testRedis({ oneServer: true });
    const proxy = await holdingProxy(checkpoints.url, 'the input that is on its way');
    try {
      await replaceWorker({ CHECKPOINT_REDIS_URL: proxy.url });
      const input = { text: 'the input that is on its way' };
      const { runId } = await client.submit('functional', { input, ...configured() });
      await proxy.held;
      // As long as it lasts, the task it is for must not begin.
      await sleep(500);
      expect(ledger.count('entry')).toBe(0);
      proxy.release();
      expect((await client.end(runId)).status).toBe('succeeded');
    } finally {
      await proxy.close();
      await replaceWorker();
      await checkpoints.close();
    }
  });
});

/** Answers what a parked run asks, and waits for what comes of it. */
async function answer(run: RunRecord, resume: Json): Promise<RunRecord> {
  const { runId } = await submitRun(services, {
    tenant: 't',
    assistant: run.request.graph,
    thread: run.thread,
    command: { resume },
    streamModes: [],
    ...configured(),
  });
  return client.end(runId);
}

/** Starts a run and kills its worker in the middle of a payment. Gives the run as it has parked then. */
async function killInPayment(graph: string, input: object = says('pay ann')): Promise<RunRecord> {
  ledger.hold('pay ann');
  const { runId } = await client.submit(graph, { input: input as Json, ...configured() });
  await killIn('pay ann');
  return client.end(runId);
}

/** What the tools' messages say. */
async function toolResults({ thread }: RunRecord): Promise<unknown[]> {
  const { messages } = (await client.values(thread)) as { messages: BaseMessage[] };
  return messages
    .filter((one) => one.getType() === 'tool')
    .map((one) => [(one as ToolMessage).status, one.content]);
}

describe('a tool that must not be repeated', () => {
  it('whose worker was killed parks the run, and is called again when a person says so', async () => {
    const asked = await killInPayment('agent', says('pay ann, notify bob'));
    expect(asked).toMatchObject({
      status: 'interrupted',
      questions: [
        {
          kind: 'unknown_effect',
          node: 'tools',
          value: { tool: 'pay', tool_call_id: 'call-1-0', args: { to: 'ann' } },
        },
      ],
    });
    expect(ledger.count('pay ann')).toBe(1);
    await expect(answer(asked, { action: 'again' })).rejects.toMatchObject({
      code: 'invalid_request',
      field: 'command.resume.action',
    });
    expect((await answer(asked, { action: 'repeat' })).status).toBe('succeeded');
    expect(ledger.count('pay ann')).toBe(2);
    expect(new Set(ledger.keys('pay ann')).size).toBe(1);
    expect(await toolResults(asked)).toEqual([
      ['success', 'paid ann'],
      ['success', 'told bob'],
    ]);
    await expect(answer(asked, { action: 'repeat' })).rejects.toMatchObject({ code: 'stale' });
  });

  it('is not called when a person gives its result, or gives the run up, wherever the call is made', async () => {
    ledger.hold('pay ann');
    const graphs = ['agent', 'nested', 'called', 'agent'];
    const submitted = graphs.map((graph) =>
      client.submit(graph, { input: says('pay ann'), ...configured() }),
    );
    await ledger.called('pay ann', 4);
    await killIn('pay ann');
    const asked: RunRecord[] = [];
    for (const { runId } of await Promise.all(submitted)) asked.push(await client.end(runId));
    const last = asked.pop();
    for (const run of asked) {
      const answered = await answer(run, { action: 'skip', result: 'paid, receipt 17' });
      expect(answered.status).toBe('succeeded');
      expect(await toolResults(run)).toEqual([['success', 'paid, receipt 17']]);
    }
    expect(last && (await answer(last, { action: 'fail', reason: 'too risky' }))).toMatchObject({
      status: 'failed',
      error: { code: 'unknown_effect', message: 'too risky' },
    });
    expect(ledger.count('pay ann')).toBe(4);
  });

  it('is asked about anew after a second crash, and the old answer is none', async () => {
    const asked = await killInPayment('agent');
    ledger.hold('pay ann');
    const { runId } = await submitRun(services, {
      tenant: 't',
      assistant: 'agent',
      thread: asked.thread,
      command: { resume: { action: 'repeat' } },
      streamModes: [],
      ...configured(),
    });
    await ledger.called('pay ann', 2);
    await killIn('pay ann');
    const again = await client.end(runId);
    expect(again).toMatchObject({ status: 'interrupted', questions: [{ kind: 'unknown_effect' }] });
    expect(again.questions?.[0]?.id).not.toBe(asked.questions?.[0]?.id);
    const late = answer(asked, { [asked.questions?.[0]?.id ?? '']: { action: 'repeat' } });
    await expect(late).rejects.toMatchObject({ code: 'invalid_request' });
    expect((await answer(again, { action: 'skip', result: 'paid' })).status).toBe('succeeded');
    expect(ledger.count('pay ann')).toBe(2);
  });

  it('keeps an approval that was given, and asks for one that was not', async () => {
    const approval = await client.run('approved', { input: says('pay ann'), ...configured() });
    expect(approval.questions).toMatchObject([{ kind: 'breakpoint', node: 'tools' }]);
    ledger.hold('pay ann');
    const order = {
      tenant: 't',
      assistant: 'approved',
      thread: approval.thread,
      streamModes: [],
      ...configured(),
    };
    const { runId } = await submitRun(services, { ...order, input: null });
    await killIn('pay ann');
    const asked = await client.end(runId);
    expect(asked.questions).toMatchObject([{ kind: 'unknown_effect' }]);
    expect((await answer(asked, { action: 'repeat' })).status).toBe('succeeded');
    expect(await toolResults(asked)).toEqual([['success', 'paid ann']]);
    const next = await client.run(
      'approved',
      { input: says('pay bob'), ...configured() },
      { thread: approval.thread },
    );
    expect(next.questions).toMatchObject([{ kind: 'breakpoint' }]);
    expect([ledger.count('pay ann'), ledger.count('pay bob')]).toEqual([2, 0]);
  });

  it('keeps the answer its node has, and its own result while the node asks more', async () => {
    const whom = await client.run('asking', configured());
    ledger.hold('pay ann');
    const { runId } = await submitRun(services, {
      tenant: 't',
      assistant: 'asking',
      thread: whom.thread,
      command: { resume: 'ann' },
      streamModes: [],
      ...configured(),
    });
    await killIn('pay ann');
    const asked = await client.end(runId);
    expect(asked.questions).toMatchObject([{ kind: 'unknown_effect', node: 'node' }]);
    // Nothing of the node was done again before somebody answered.
    expect(ledger.count('before')).toBe(1);
    const satisfied = await answer(asked, { action: 'repeat' });
    expect(satisfied.questions).toMatchObject([{ kind: 'interrupt', value: 'satisfied?' }]);
    expect((await answer(satisfied, 'yes')).status).toBe('succeeded');
    expect(await client.values(whom.thread)).toEqual({ text: 'paid ann, yes' });
    expect(ledger.count('pay ann')).toBe(2);
  });

  it('may ask something itself, and goes on with the answer', async () => {
    const asked = await client.run('agent', { input: says('confirm ann'), ...configured() });
    expect(asked.questions).toMatchObject([{ kind: 'interrupt', value: 'pay ann?' }]);
    expect((await answer(asked, 'yes')).status).toBe('succeeded');
    expect(await toolResults(asked)).toEqual([['success', 'paid ann, yes']]);
    expect(ledger.count('pay ann')).toBe(1);
  });

  it('is asked about when its worker left without it', async () => {
    ledger.hold('pay ann');
    const { runId } = await client.submit('agent', { input: says('pay ann'), ...configured() });
    await ledger.called('pay ann');
    expect(await worker.end('SIGTERM')).toBe(0);
    worker = await start('worker');
    expect((await client.end(runId)).questions).toMatchObject([{ kind: 'unknown_effect' }]);
    expect(ledger.count('pay ann')).toBe(1);
  });

  it("is told by MCP's annotations, in a project with its own LangChain too", async () => {
    const project = await makeTestProject();
    try {
      await project.write('package.json', { type: 'module' });
      await project.write('graphs.ts', foreign);
      const config = await project.write('langgraph.json', {
        graphs: { foreign: { path: './graphs.ts:foreign', queue: 'foreign' } },
      });
      const first = await start('worker', { LANGGRAPH_CONFIG: config });
      ledger.hold('delete');
      const { runId } = await client.submit(
        'foreign',
        { input: { messages: [] }, ...configured() },
        { queue: 'foreign' },
      );
      await ledger.called('delete');
      await first.end('SIGKILL');
      const second = await start('worker', { LANGGRAPH_CONFIG: config });
      const asked = await client.end(runId);
      expect(asked.questions).toMatchObject([{ kind: 'unknown_effect', value: { tool: 'delete' } }]);
      expect((await answer(asked, { action: 'skip', result: 'deleted' })).status).toBe('succeeded');
      expect(await toolResults(asked)).toEqual([['success', 'deleted']]);
      expect(ledger.count('delete')).toBe(1);
      await second.end('SIGKILL');
    } finally {
      await project.remove();
    }
  });

  it('is asked about on every face', async () => {
    const { url } = await start('gateway');
    ledger.hold('pay ann');
    const sdk = new Client({ apiUrl: url, apiKey: null, callerOptions: { maxRetries: 0 } });
    const { thread_id } = await sdk.threads.create();
    const { run_id } = await sdk.runs.create(thread_id, 'agent', { input: says('pay ann'), ...configured() });
    await killIn('pay ann');
    const asked = {
      id: expect.any(String),
      value: expect.objectContaining({ tool: 'pay', args: { to: 'ann' } }),
    };
    expect(await sdk.runs.join(thread_id, run_id)).toMatchObject({ __interrupt__: [asked] });
    expect((await sdk.threads.getState(thread_id)).tasks).toMatchObject([
      { name: 'tools', interrupts: [asked] },
    ]);
    const thread = await sdk.threads.get(thread_id);
    expect(thread.status).toBe('interrupted');
    expect(Object.values(thread.interrupts)).toEqual([[asked]]);
    const message = await fetch(`${url}/message/${run_id}`);
    expect(await message.json()).toMatchObject({ questions: [{ kind: 'unknown_effect', ...asked }] });

    const wrong = sdk.runs.wait(thread_id, 'agent', { command: { resume: { action: 'skip' } } });
    await expect(wrong).rejects.toThrow('command.resume.result');
    const mcp = await generations[1]?.connect(inTurn([`${url}/mcp`]), {});
    try {
      expect((await mcp?.call('get_run', { run_id }))?.text).toContain('must not be repeated');
      const bad = await mcp?.call('respond_run', { run_id, answer: 'yes' });
      expect(bad).toMatchObject({ isError: true, text: expect.stringContaining('answers') });
      const good = await mcp?.call('respond_run', { run_id, answer: { action: 'skip', result: 'paid' } });
      expect(good?.output).toMatchObject({ status: 'succeeded', answer: 'done' });
    } finally {
      await mcp?.close();
    }
    expect((await sdk.threads.get(thread_id)).interrupts).toEqual({});
    expect(ledger.count('pay ann')).toBe(1);
  });

  it('is not asked about when the result of its task is stored, even that it failed', async () => {
    ledger.hold('done');
    const { runId } = await client.submit('nested', { input: says('pay nobody'), ...configured() });
    await killIn('done');
    expect(await client.end(runId)).toMatchObject({ status: 'succeeded', attempt: 2 });
    expect(ledger.count('pay nobody')).toBe(1);
  });

  it('is not begun by a worker that has lost the thread and does not know it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-'));
    try {
      const file = join(folder, 'go on');
      await replaceWorker({ BLOCK_UNTIL: file });
      const blocked = worker;
      const whom = await client.run('asking', configured());
      const answered = answer(whom, 'ann');
      await ledger.called('before');
      worker = await start('worker');
      expect((await answered).questions).toMatchObject([{ value: 'satisfied?' }]);
      expect(ledger.count('before')).toBe(2);
      await writeFile(file, '');
      await blocked.logged('nothing more is written');
      expect(existsSync(`${file}.paid`)).toBe(false);
      expect(ledger.count('pay ann')).toBe(1);
      await blocked.end('SIGKILL');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

const foreign = `
import { AIMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { END, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
import { ToolNode } from '@langchain/langgraph/prebuilt';

const remove = tool(
  async (_, { configurable, signal }) => {
    const body = JSON.stringify({ step: 'delete', run: configurable.run_id });
    await (await fetch(configurable.ledger, { method: 'POST', body, signal })).text();
    return ['gone', null];
  },
  {
    name: 'delete',
    description: 'Deletes it.',
    schema: { type: 'object', properties: {} },
    responseFormat: 'content_and_artifact',
    metadata: { annotations: { destructiveHint: true } },
  },
);
const call = { name: 'delete', args: {}, id: 'one', type: 'tool_call' };
export const foreign = new StateGraph(MessagesAnnotation)
  .addNode('model', () => ({ messages: [new AIMessage({ content: '', tool_calls: [call] })] }))
  .addNode('tools', new ToolNode([remove]))
  .addEdge(START, 'model')
  .addEdge('model', 'tools')
  .addEdge('tools', END);
`;
