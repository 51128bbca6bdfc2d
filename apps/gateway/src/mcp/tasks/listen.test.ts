import { Catalog } from '@millrace/shared/catalog';
import type { Question } from '@millrace/shared/contract/run';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { catalogEntry, startTestGateway, type TestGateway, TestWorker } from '../test-gateway.ts';
import { envelope, type Listening, listen, modern, modernHeaders, rpc, send, tasks } from '../test-rpc.ts';

let test: TestRedis;
let worker: TestWorker;
let here: TestGateway;
let elsewhere: TestGateway;
let open: Listening[];

beforeEach(async () => {
  test = await testRedis();
  worker = new TestWorker(test);
  open = [];
  await new Catalog(test.redis, test.keys).publish([catalogEntry('agent')]);
  const options = { waitMs: 0, taskAfterMs: 0, progressMs: 0 };
  [here, elsewhere] = await Promise.all([startTestGateway(test, options), startTestGateway(test, options)]);
});
afterEach(async () => {
  for (const one of open) one.close();
  await Promise.all([here.close(), elsewhere.close()]);
  await worker.close();
  await test.close();
});

async function start(message = 'Go', more: Record<string, unknown> = {}): Promise<string> {
  const params = { name: 'agent', arguments: { message, ...more } };
  const { body } = await modern(elsewhere.url, 'tools/call', params, { capabilities: tasks });
  return String(body?.result?.taskId);
}

async function listening(notifications: Record<string, unknown>): Promise<Listening> {
  const stream = await listen(here.url, notifications);
  open.push(stream);
  return stream;
}

const question: Question = { id: 'q1', kind: 'interrupt', node: 'ask', interruptId: 'i1', value: 'Sure?' };
const _meta = { 'io.modelcontextprotocol/subscriptionId': 1 };
const news = (state: Record<string, unknown>) => ({
  jsonrpc: '2.0',
  method: 'notifications/tasks',
  params: expect.objectContaining({ ...state, _meta }),
});

it('tells of a task from its beginning to its end, whichever gateway it is asked and answered at', async () => {
  const taskId = await start();
  const stream = await listening({ taskIds: [taskId, taskId, 'nothing'] });
  expect(await stream.next()).toEqual({
    jsonrpc: '2.0',
    method: 'notifications/subscriptions/acknowledged',
    params: { notifications: { taskIds: [taskId] }, _meta },
  });
  expect(await stream.next()).toEqual(
    news({ taskId, status: 'working', statusMessage: 'Queued, next in line' }),
  );
  const run = await worker.next();
  expect(await stream.next()).toEqual(news({ taskId, statusMessage: 'At work' }));
  await run.emit('updates', { plan: {} });
  expect(await stream.next()).toEqual(news({ statusMessage: 'At work, after plan' }));
  await run.finish({ status: 'interrupted', questions: [question] });
  const asked = await stream.next();
  expect(asked).toEqual(news({ status: 'input_required', inputRequests: { q1: expect.anything() } }));

  const inputResponses = { q1: { action: 'accept', content: { answer: 'yes' } } };
  await modern(elsewhere.url, 'tasks/update', { taskId, inputResponses }, { capabilities: tasks });
  expect(await stream.next()).toEqual(news({ status: 'working' }));
  await worker.answerNext('Done');
  let last = await stream.next();
  while (last?.params?.status === 'working') last = await stream.next();
  const { body } = await modern(elsewhere.url, 'tasks/get', { taskId }, { capabilities: tasks });
  const { resultType: _, _meta: __, ...state } = body?.result ?? {};
  expect(last).toEqual({ jsonrpc: '2.0', method: 'notifications/tasks', params: { ...state, _meta } });
  expect(await stream.next()).toMatchObject({ id: 1, result: { resultType: 'complete', _meta } });
  expect(await stream.next()).toBeUndefined();
});

it.each([
  [
    'a newer message',
    (_: string) => start('Never mind', { thread_id: 'talk' }),
    'Superseded by a newer message',
  ],
  [
    'a cancel',
    (taskId: string) => modern(elsewhere.url, 'tasks/cancel', { taskId }, { capabilities: tasks }),
    'Cancelled while it waited for an answer',
  ],
])('tells of %s that closes what a task asks', async (_, close, statusMessage) => {
  const taskId = await start('Ask', { thread_id: 'talk' });
  await (await worker.next()).finish({ status: 'interrupted', questions: [question] });
  const stream = await listening({ taskIds: [taskId] });
  await stream.next();
  expect(await stream.next()).toEqual(news({ status: 'input_required' }));
  await close(taskId);
  expect(await stream.next()).toEqual(news({ status: 'cancelled', statusMessage }));
  expect(await stream.next()).toMatchObject({ result: { resultType: 'complete' } });
});

it('tells of several at once, and at once what is over', async () => {
  const done = await start('One');
  await worker.answerNext('1');
  const waits = await start('Two');
  const stream = await listening({ taskIds: [done, waits], toolsListChanged: true });
  expect(await stream.next()).toMatchObject({ params: { notifications: { taskIds: [done, waits] } } });
  const states = [await stream.next(), await stream.next()].map((one) => one?.params);
  expect(states).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ taskId: done, status: 'completed' }),
      expect.objectContaining({ taskId: waits, status: 'working' }),
    ]),
  );
});

it('tells of tasks and resources over one stream', async () => {
  const taskId = await start();
  const uri = `run://${taskId}`;
  const stream = await listening({ taskIds: [taskId], resourceSubscriptions: [uri, 'run://nothing'] });
  expect(await stream.next()).toMatchObject({
    params: { notifications: { taskIds: [taskId], resourceSubscriptions: [uri] }, _meta },
  });
  await worker.answerNext('Done');
  const heard = { task: false, resource: false };
  while (!heard.task || !heard.resource) {
    const message = await stream.next();
    if (!message?.method) throw new Error(`it ended: ${JSON.stringify(message)}`);
    const { status, uri: about, _meta: of } = message.params ?? {};
    expect(of).toEqual(_meta);
    if (message.method === 'notifications/tasks' && status === 'completed') heard.task = true;
    if (message.method === 'notifications/resources/updated' && about === uri) heard.resource = true;
  }
  // The task is over, the resource may change again.
  here.drain.abort();
  let end = await stream.next();
  while (end?.method) end = await stream.next();
  expect(end).toMatchObject({ id: 1, result: { resultType: 'complete', _meta } });
});

it('says goodbye when the gateway leaves', async () => {
  const stream = await listening({ taskIds: [await start()] });
  await stream.next();
  await stream.next();
  here.drain.abort();
  expect(await stream.next()).toMatchObject({ id: 1, result: { resultType: 'complete', _meta } });
  expect(await stream.next()).toBeUndefined();
});

it('leaves other subscriptions to the SDK', async () => {
  const stream = await listening({ toolsListChanged: true });
  expect(await stream.next()).toMatchObject({ params: { notifications: {} } });
  expect(await stream.next()).toMatchObject({ result: { resultType: 'complete' } });
});

describe('what is refused', () => {
  const ask = (notifications: unknown, capabilities: object, headers: Record<string, string> = {}) =>
    send(
      here.url,
      rpc('subscriptions/listen', { notifications, _meta: envelope('2026-07-28', capabilities) }),
      {
        ...modernHeaders('subscriptions/listen', {}),
        ...headers,
      },
    );

  it('a client that takes no tasks', async () => {
    const answer = await ask({ taskIds: [await start()] }, {});
    expect(answer.status).toBe(400);
    expect(answer.body?.error).toMatchObject({ code: -32021, data: { requiredCapabilities: tasks } });
  });

  it.each([
    ['no list', 'x'],
    ['numbers', [1]],
    ['too many', Array.from({ length: 101 }, (_, i) => String(i))],
  ])('%s', async (_, taskIds) => {
    const answer = await ask({ taskIds }, tasks);
    expect([answer.status, answer.body?.error?.code]).toEqual([200, -32602]);
  });

  it('a revision that there is not, and headers that say something else', async () => {
    const strange = await ask({ taskIds: ['x'] }, tasks, { 'mcp-protocol-version': '2031-01-01' });
    expect([strange.status, strange.body?.error?.code]).toEqual([400, -32020]);
    const other = await send(here.url, rpc('tools/list', { _meta: envelope('2026-07-28') }), {
      ...modernHeaders('subscriptions/listen', {}),
    });
    expect([other.status, other.body?.error?.code]).toEqual([400, -32020]);
  });

  it("another tenant's tasks, without a word of them", async () => {
    const taskId = await start();
    const stream = await listen(here.url, { taskIds: [taskId] }, { 'x-tenant': 'globex' });
    expect(await stream.next()).toMatchObject({ params: { notifications: { taskIds: [] } } });
    expect(await stream.next()).toMatchObject({ result: { resultType: 'complete' } });
    expect(await stream.next()).toBeUndefined();
  });
});
