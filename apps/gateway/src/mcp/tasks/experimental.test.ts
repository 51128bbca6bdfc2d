import { Catalog } from '@millrace/shared/catalog';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { catalogEntry, startTestGateway, type TestGateway, TestWorker } from '../test-gateway.ts';
import { rpc, send } from '../test-rpc.ts';

let test: TestRedis;
let worker: TestWorker;
let gateway: TestGateway;

beforeEach(async () => {
  test = await testRedis();
  worker = new TestWorker(test);
  await new Catalog(test.redis, test.keys).publish([
    catalogEntry('agent'),
    catalogEntry('long', { taskSupport: 'required' }),
    catalogEntry('short', { taskSupport: 'forbidden' }),
  ]);
  gateway = await startTestGateway(test, { waitMs: 0, progressMs: 0 });
});
afterEach(async () => {
  await gateway.close();
  await worker.close();
  await test.close();
});

const headers = { 'mcp-protocol-version': '2025-11-25' };
const ask = async (method: string, params: Record<string, unknown>, more: Record<string, string> = {}) =>
  (await send(gateway.url, rpc(method, params), { ...headers, ...more })).body;
const call = (name: string, more: Record<string, unknown> = { task: { ttl: 60_000 } }) =>
  ask('tools/call', { name, arguments: { message: 'Go' }, ...more });
const started = async () => {
  const { task } = (await call('agent'))?.result ?? {};
  return (task as { taskId: string }).taskId;
};

it('is offered by the server and told for each tool', async () => {
  const hello = await ask('initialize', {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'test', version: '1' },
  });
  expect(hello?.result?.capabilities).toMatchObject({
    tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } },
  });
  const listed = await ask('tools/list', {});
  const tools = listed?.result?.tools as { name: string; execution?: { taskSupport: string } }[];
  expect(tools.map((one) => [one.name, one.execution?.taskSupport])).toEqual([
    ['agent', 'optional'],
    ['long', 'required'],
    ['short', 'forbidden'],
    ['get_run', undefined],
    ['respond_run', undefined],
    ['cancel_run', undefined],
  ]);
});

it('answers a call with its task, and waits with the result until there is one', async () => {
  const created = (await call('agent'))?.result ?? {};
  expect(created).toEqual({
    content: [],
    task: {
      taskId: expect.any(String),
      status: 'working',
      statusMessage: 'Queued, next in line',
      createdAt: expect.any(String),
      lastUpdatedAt: expect.any(String),
      ttl: expect.any(Number),
      pollInterval: 500,
    },
  });
  const { taskId } = created.task as { taskId: string };
  expect((await ask('tasks/get', { taskId }))?.result).toMatchObject({ taskId, status: 'working' });
  const waiting = ask('tasks/result', { taskId });
  const run = await worker.next();
  await run.emit('updates', { plan: {} });
  await run.finish({ status: 'succeeded', answer: 'Done' });
  expect((await waiting)?.result).toMatchObject({
    content: [{ type: 'text', text: 'Done' }],
    _meta: { 'io.modelcontextprotocol/related-task': { taskId } },
  });
  expect((await ask('tasks/get', { taskId }))?.result).toMatchObject({ status: 'completed' });
  expect((await ask('tasks/result', { taskId }))?.result).toMatchObject({ content: [{ text: 'Done' }] });
});

it('gives the error of a call that failed for no reason of its own', async () => {
  const taskId = await started();
  const run = await worker.next();
  await run.finish({ status: 'failed', error: { code: 'graph_changed', message: 'It is gone' } });
  expect((await ask('tasks/get', { taskId }))?.result).toMatchObject({ status: 'failed' });
  expect((await ask('tasks/result', { taskId }))?.error).toMatchObject({
    code: -32603,
    message: 'It is gone',
  });
});

it('says how a task that asks is answered', async () => {
  const taskId = await started();
  const question = { id: 'q1', kind: 'interrupt' as const, node: 'ask', interruptId: 'i1', value: 'Sure?' };
  await (await worker.next()).finish({ status: 'interrupted', questions: [question] });
  expect((await ask('tasks/get', { taskId }))?.result).toMatchObject({
    status: 'input_required',
    statusMessage: expect.stringContaining('respond_run'),
  });
  await ask('tools/call', { name: 'respond_run', arguments: { run_id: taskId, answer: 'yes' } });
  await worker.answerNext('Done');
  expect((await ask('tasks/result', { taskId }))?.result).toMatchObject({ content: [{ text: 'Done' }] });
});

it('cancels a task, once', async () => {
  const taskId = await started();
  expect((await ask('tasks/cancel', { taskId }))?.result).toMatchObject({ taskId, status: 'cancelled' });
  expect((await ask('tasks/cancel', { taskId }))?.error?.code).toBe(-32602);
  expect((await ask('tasks/result', { taskId }))?.result).toMatchObject({ isError: true });
});

it('waits for the result no longer than the gateway is there', async () => {
  const taskId = await started();
  const waiting = ask('tasks/result', { taskId });
  const run = await worker.next();
  await run.emit('updates', { plan: {} });
  gateway.drain.abort();
  expect((await waiting)?.error).toMatchObject({ code: -32603, data: { code: 'unavailable' } });
});

it('does as a tool says about tasks', async () => {
  expect((await call('long', {}))?.error?.code).toBe(-32601);
  expect((await call('short'))?.error?.code).toBe(-32601);
  expect((await call('long'))?.result).toMatchObject({ task: { status: 'working' } });
  const handle = await ask('tools/call', { name: 'get_run', arguments: { run_id: 'x' }, task: {} });
  expect(handle?.error?.code).toBe(-32601);
});

it.each(['tasks/get', 'tasks/cancel', 'tasks/result'])('finds nothing by a wrong id: %s', async (method) => {
  const taskId = await started();
  for (const id of ['', 'x', '9'.repeat(50_000), '00000000-0000-7000-8000-000000000000']) {
    expect((await ask(method, { taskId: id }))?.error?.code).toBe(-32602);
  }
  expect((await ask(method, {}))?.error?.code).toBe(-32602);
  expect((await ask(method, { taskId }, { 'x-tenant': 'globex' }))?.error?.code).toBe(-32602);
});

it('lists all tasks, the newest first, page by page', async () => {
  const all: string[] = [];
  for (let n = 0; n < 45; n++) all.push(await started());
  const run = await worker.next();
  await run.finish({ status: 'succeeded', answer: 'Done' });
  const listed: { taskId: string; status: string; ttl: number }[] = [];
  const pages: number[] = [];
  let cursor: unknown;
  do {
    const page = (await ask('tasks/list', cursor === undefined ? {} : { cursor }))?.result ?? {};
    listed.push(...(page.tasks as typeof listed));
    pages.push((page.tasks as typeof listed).length);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  expect(pages).toEqual([20, 20, 5]);
  expect(listed.map((one) => one.taskId)).toEqual(all.reverse());
  expect(listed.find((one) => one.taskId === run.claim.chain)).toEqual(
    (await ask('tasks/get', { taskId: run.claim.chain }))?.result,
  );

  expect((await ask('tasks/list', {}, { 'x-tenant': 'globex' }))?.result?.tasks).toEqual([]);
  for (const wrong of ['x', '1_2', 7]) {
    expect((await ask('tasks/list', { cursor: wrong }))?.error?.code).toBe(-32602);
  }
});

it('has no tasks/update', async () => {
  expect((await ask('tasks/update', {}))?.error?.code).toBe(-32601);
});
