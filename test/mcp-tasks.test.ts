import { fileURLToPath } from 'node:url';
import { createLogger } from '@millrace/shared/logger';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import {
  Client as ModernClient,
  StreamableHTTPClientTransport as ModernTransport,
} from '@modelcontextprotocol/client';
import { Client as OlderClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as OlderTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readConfig } from '../apps/gateway/src/config.ts';
import { type Gateway, startGateway } from '../apps/gateway/src/gateway.ts';
import { workerConfig } from '../apps/worker/src/config.ts';
import { type RunningWorker, startWorker } from '../apps/worker/src/worker.ts';
import { type Fetch, inTurn } from './mcp-client.ts';
import { TaskClient } from './mcp-task-client.ts';

const graphs = fileURLToPath(new URL('graphs/langgraph.json', import.meta.url));
const logger = createLogger('test', 'silent');
const nowhere = new URL('http://gateways.test/mcp');

let redis: TestRedis;
let worker: RunningWorker | undefined;
let gateways: Gateway[];
let closing: (() => Promise<void>)[];

beforeEach(async () => {
  redis = await testRedis();
  gateways = [];
  closing = [];
});
afterEach(async () => {
  await Promise.all(closing.map((close) => close()));
  await Promise.all(gateways.map((one) => one.stop()));
  await worker?.stop();
  worker = undefined;
  await redis.close();
});

/** Two real gateways and a real worker; every request goes to the next gateway. */
async function system(env: Record<string, string>): Promise<Fetch> {
  const common = { ...redis.env, LOG_LEVEL: 'silent' };
  worker = await startWorker(workerConfig({ ...common, WORKER_PORT: '0', ...env }), logger);
  for (let i = 0; i < 2; i += 1) {
    gateways.push(await startGateway(readConfig({ ...common, PORT: '0', TASK_AFTER_SECONDS: '0' }), logger));
  }
  return inTurn(gateways.map((one) => `${one.url}/mcp`));
}

describe('the v1 client', () => {
  async function connected(env: Record<string, string>) {
    const client = new OlderClient({ name: 'test', version: '1' });
    const transport = new OlderTransport(nowhere, { fetch: await system(env) });
    await client.connect(transport as Parameters<typeof client.connect>[0]);
    closing.push(() => client.close());
    await client.listTools();
    return client;
  }

  it('calls a tool as a task, and follows it to its result', async () => {
    const client = await connected({ MODEL: 'demo' });
    const heard: unknown[] = [];
    const params = { name: 'agent', arguments: { message: 'What is 12*(3+4)?' } };
    for await (const message of client.experimental.tasks.callToolStream(params, undefined, {
      task: { ttl: 60_000 },
    })) {
      if (message.type === 'error') throw message.error;
      heard.push(message.type === 'result' ? message.result : message.type);
    }
    expect(heard[0]).toBe('taskCreated');
    expect(heard.at(-1)).toMatchObject({
      content: [{ type: 'text', text: expect.stringContaining('84') }],
      _meta: { 'io.modelcontextprotocol/related-task': { taskId: expect.any(String) } },
    });
  });

  it('finds what a task asks, answers it by a tool, and cancels another', async () => {
    const client = await connected({ LANGGRAPH_CONFIG: graphs });
    const { tasks } = client.experimental;
    const start = async () => {
      const params = { name: 'ask', arguments: { text: 'x' } };
      for await (const message of tasks.callToolStream(params, undefined, { task: {} })) {
        if (message.type === 'taskCreated') return message.task.taskId;
      }
      throw new Error('no task');
    };
    const untilAsked = async (taskId: string) => {
      while ((await tasks.getTask(taskId)).status !== 'input_required');
    };
    const answered = await start();
    await untilAsked(answered);
    const result = tasks.getTaskResult(answered, CallToolResultSchema);
    await client.callTool({ name: 'respond_run', arguments: { run_id: answered, answer: 'yes' } });
    expect(await result).toMatchObject({ structuredContent: { values: { log: ['ask:yes', 'after:x'] } } });

    const cancelled = await start();
    await untilAsked(cancelled);
    expect(await tasks.cancelTask(cancelled)).toMatchObject({ taskId: cancelled, status: 'cancelled' });
    const listed = await tasks.listTasks();
    expect(listed.tasks.map((one) => [one.taskId, one.status])).toEqual([
      [cancelled, 'cancelled'],
      [answered, 'completed'],
    ]);
  });
});

describe('the v2 client', () => {
  it('has a person asked in the middle of a call', async () => {
    const client = new ModernClient(
      { name: 'test', version: '1' },
      { capabilities: { elicitation: { form: {} } }, versionNegotiation: { mode: 'auto' } },
    );
    const asked: unknown[] = [];
    client.setRequestHandler('elicitation/create', async ({ params }) => {
      asked.push(params.message);
      return { action: 'accept', content: { answer: `${params.message} yes` } };
    });
    await client.connect(new ModernTransport(nowhere, { fetch: await system({ LANGGRAPH_CONFIG: graphs }) }));
    closing.push(() => client.close());
    expect(client.getServerCapabilities()).toMatchObject({
      extensions: { 'io.modelcontextprotocol/tasks': {} },
    });
    const twice = await client.callTool({ name: 'ask_twice', arguments: { text: '' } });
    expect(asked).toEqual(['first?', 'second?']);
    expect(twice.structuredContent).toMatchObject({ values: { log: ['ask:first? yes+second? yes'] } });
  });
});

describe('a client of the tasks extension', () => {
  it('has questions of two steps answered one by one, and hears of the end at the other gateway', async () => {
    const client = new TaskClient(await system({ LANGGRAPH_CONFIG: graphs }));
    const { taskId } = await client.call('ask_both', { text: '' });
    const asked = await client.until(taskId, 'input_required');
    const [first, second] = Object.keys(asked.inputRequests ?? {});
    if (!first || !second) throw new Error('two questions should be open');
    const accept = (answer: string) => ({ action: 'accept', content: { answer } });
    const news = client.listen([taskId]);
    await client.update(taskId, { [first]: accept('one') });
    expect(Object.keys((await client.get(taskId)).inputRequests ?? {})).toEqual([second]);
    await client.update(taskId, { [second]: accept('two') });
    const ends = [];
    for await (const task of news) if (task.status !== 'input_required') ends.push(task);
    expect(ends.at(-1)).toMatchObject({
      taskId,
      status: 'completed',
      result: {
        structuredContent: {
          values: {
            log: expect.arrayContaining([
              expect.stringMatching(/^left:(one|two)$/),
              expect.stringMatching(/^right:(one|two)$/),
            ]),
          },
        },
      },
    });
  });
});
