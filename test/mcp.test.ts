import { fileURLToPath } from 'node:url';
import { createLogger } from '@millrace/shared/logger';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readConfig } from '../apps/gateway/src/config.ts';
import { type Gateway, startGateway } from '../apps/gateway/src/gateway.ts';
import { workerConfig } from '../apps/worker/src/config.ts';
import { type RunningWorker, startWorker } from '../apps/worker/src/worker.ts';
import { type AnyClient, generations, inTurn } from './mcp-client.ts';

const graphs = fileURLToPath(new URL('graphs/langgraph.json', import.meta.url));
const logger = createLogger('test', 'silent');

let redis: TestRedis;
let worker: RunningWorker | undefined;
let gateways: Gateway[];
let clients: AnyClient[];

beforeEach(async () => {
  redis = await testRedis();
  gateways = [];
  clients = [];
});

afterEach(async () => {
  await Promise.all(clients.map((one) => one.close()));
  await Promise.all(gateways.map((one) => one.stop()));
  await worker?.stop();
  worker = undefined;
  await redis.close();
});

/** Two real gateways and a real worker; every request goes to the next gateway. */
async function system(env: Record<string, string>, gatewayEnv: Record<string, string> = {}) {
  const common = { ...redis.env, LOG_LEVEL: 'silent' };
  worker = await startWorker(workerConfig({ ...common, WORKER_PORT: '0', ...env }), logger);
  for (let i = 0; i < 2; i += 1) {
    gateways.push(await startGateway(readConfig({ ...common, PORT: '0', ...gatewayEnv }), logger));
  }
  const fetch = inTurn(gateways.map((one) => `${one.url}/mcp`));
  return async (connect: (typeof generations)[number]['connect'], headers: Record<string, string> = {}) => {
    const client = await connect(fetch, headers);
    clients.push(client);
    return client;
  };
}

describe.each(generations)('$name', ({ connect }) => {
  it('talks to the built-in agent, which remembers, calculates and asks', async () => {
    const client = await (await system({ MODEL: 'demo' }))(connect);
    expect(await client.toolNames()).toEqual(['agent', 'get_run', 'respond_run', 'cancel_run']);

    const heard: string[] = [];
    const first = await client.call(
      'agent',
      { message: 'My name is Ada. What is 12*(3+4)?' },
      { onprogress: ({ message }) => heard.push(message ?? '') },
    );
    expect(first.text).toContain('12*(3+4) = 84.');
    expect(first.output).toMatchObject({ status: 'succeeded', answer: first.text });
    expect(heard[0]).toBe('queued');

    const { thread_id } = first.output;
    const second = await client.call('agent', { message: 'What is my name?', thread_id });
    expect(second.text).toBe('Your name is Ada.');

    const asked = await client.call('agent', { message: 'Ask a human for approval of this.', thread_id });
    expect(asked).toMatchObject({ isError: false, output: { status: 'interrupted', thread_id } });
    expect(asked.text).toContain('May I go ahead with this?');
    const { run_id } = asked.output;
    const answered = await client.call('respond_run', { run_id, answer: 'Yes, go ahead' });
    expect(answered.text).toBe('The person answered: Yes, go ahead');
    expect((await client.call('get_run', { run_id })).text).toBe(answered.text);
  });

  it('runs graphs that are no conversation, and gets past what they ask', async () => {
    const client = await (await system({ LANGGRAPH_CONFIG: graphs }))(connect);
    await client.toolNames();

    const drawn = await client.call('draws', { message: 'A dot' });
    expect(drawn.content).toEqual([
      { type: 'text', text: 'Here it is:' },
      { type: 'image', mimeType: 'image/png', data: 'iVBORw0KGgo=' },
    ]);
    expect(drawn.output).toMatchObject({ status: 'succeeded', answer: 'Here it is:' });

    const chain = await client.call('chain', { text: 'x' });
    expect(chain.output.values).toEqual({ text: 'x', log: ['a:x', 'b:x', 'c:x'] });
    expect(JSON.parse(chain.text)).toEqual(chain.output.values);

    const failed = await client.call('fails', {});
    expect(failed).toMatchObject({ isError: true, output: { error: { code: 'graph_error' } } });
    expect(failed.text).toContain('this graph always fails');

    const both = await client.call('ask_both', { text: '' });
    const answers = Object.fromEntries(
      (both.output.questions ?? []).map((one) => [one.id, (one.value as { question: string }).question]),
    );
    expect(Object.values(answers).sort()).toEqual(['left?', 'right?']);
    const done = await client.call('respond_run', { run_id: both.output.run_id, answers });
    expect(done.output.values?.log).toEqual(expect.arrayContaining(['left:left?', 'right:right?']));

    const stopped = await client.call('approval', { text: 'bill' });
    expect(stopped.output).toMatchObject({ status: 'interrupted', questions: [{ kind: 'breakpoint' }] });
    const paid = await client.call('respond_run', { run_id: stopped.output.run_id, answer: true });
    expect(paid.output.values?.log).toEqual(['prepare:bill', 'pay:bill']);
  });
});

it('lets nobody in without credentials, and nobody see what is another tenant', async () => {
  const [older, modern] = generations;
  if (!older || !modern) throw new Error('no clients');
  const connected = await system(
    { MODEL: 'demo' },
    { API_KEYS: 'acme:key-of-acme-0123456789,globex:key-of-globex-012345678' },
  );
  await expect(connected(older.connect)).rejects.toThrow();
  const acme = await connected(older.connect, { authorization: 'Bearer key-of-acme-0123456789' });
  const globex = await connected(modern.connect, { authorization: 'Bearer key-of-globex-012345678' });
  const { run_id } = (await acme.call('agent', { message: 'Hello' })).output;
  expect(await globex.call('get_run', { run_id })).toMatchObject({
    isError: true,
    text: `There is no run "${run_id}"`,
  });
});
