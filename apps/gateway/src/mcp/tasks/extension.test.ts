import { Catalog } from '@millrace/shared/catalog';
import type { Question } from '@millrace/shared/contract/run';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { catalogEntry, startTestGateway, type TestGateway, TestWorker } from '../test-gateway.ts';
import { modern, tasks } from '../test-rpc.ts';

let test: TestRedis;
let worker: TestWorker;
let gateways: TestGateway[];
let turn: number;

beforeEach(async () => {
  test = await testRedis();
  worker = new TestWorker(test);
  turn = 0;
  gateways = [];
  await new Catalog(test.redis, test.keys).publish([
    catalogEntry('agent'),
    catalogEntry('long', { taskSupport: 'required' }),
    catalogEntry('short', { taskSupport: 'forbidden' }),
  ]);
  gateways = await Promise.all(
    [0, 1].map(() => startTestGateway(test, { waitMs: 0, taskAfterMs: 0, progressMs: 0 })),
  );
});
afterEach(async () => {
  await Promise.all(gateways.map((one) => one.close()));
  await worker.close();
  await test.close();
});

/** No two requests in a row go to the same gateway. */
function url(): URL {
  turn += 1;
  const next = gateways[turn % gateways.length];
  if (!next) throw new Error('no gateway');
  return next.url;
}

const ask = (method: string, params: Record<string, unknown>, headers: Record<string, string> = {}) =>
  modern(url(), method, params, { capabilities: tasks, headers });

async function call(tool: string, message = 'Go', more: Record<string, unknown> = {}) {
  const { body } = await ask('tools/call', { name: tool, arguments: { message, ...more } });
  if (!body?.result) throw new Error(JSON.stringify(body));
  return body.result;
}

async function get(taskId: unknown) {
  const { body } = await ask('tasks/get', { taskId });
  if (!body?.result) throw new Error(JSON.stringify(body));
  return body.result;
}

const question = (id: string, value: Question['value']): Question => ({
  id,
  kind: 'interrupt',
  node: 'ask',
  interruptId: `i-${id}`,
  value,
});

/** A task that asks. */
async function asking(...questions: Question[]) {
  const { taskId } = await call('agent');
  const run = await worker.next();
  await run.finish({ status: 'interrupted', questions });
  return { taskId, run };
}

const update = (taskId: unknown, inputResponses: unknown) => ask('tasks/update', { taskId, inputResponses });
const accept = (content: Record<string, unknown>) => ({ action: 'accept', content });

describe('a call', () => {
  it('is handed over as a task that any gateway knows, and whose result is there in the end', async () => {
    const task = await call('agent', 'Hello');
    expect(task).toMatchObject({
      resultType: 'task',
      status: 'working',
      statusMessage: 'Queued, next in line',
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      ttlMs: expect.any(Number),
      pollIntervalMs: 500,
    });
    expect(task).not.toHaveProperty('result');
    expect(await get(task.taskId)).toMatchObject({
      resultType: 'complete',
      taskId: task.taskId,
      status: 'working',
    });

    const run = await worker.next();
    expect(run.claim.chain).toBe(task.taskId);
    expect(await get(task.taskId)).toMatchObject({ status: 'working', statusMessage: 'At work' });
    await run.emit('updates', { plan: { todo: 1 } });
    await run.emit('updates|research:0b7c', { search: {} });
    expect(await get(task.taskId)).toMatchObject({ statusMessage: 'At work, after research / search' });

    await run.finish({ status: 'succeeded', answer: 'Hi' });
    const done = await get(task.taskId);
    expect(done).toMatchObject({
      status: 'completed',
      createdAt: task.createdAt,
      ttlMs: expect.any(Number),
      result: {
        resultType: 'complete',
        content: [{ type: 'text', text: 'Hi' }],
        structuredContent: { answer: 'Hi' },
      },
    });
    expect(done).not.toHaveProperty('pollIntervalMs');
    expect(done.ttlMs).toBeGreaterThanOrEqual(24 * 3600_000);
  });

  it('tells the place in the queue, and in the thread', async () => {
    await call('agent', 'First', { thread_id: 'talk' });
    const behind = await call('agent', 'Second', { thread_id: 'talk' });
    expect(behind.statusMessage).toBe('Queued behind 1 of its thread');
    expect((await call('agent', 'Another')).statusMessage).toBe('Queued, 1 before it');
  });

  it('is kept for the time it is said to be, however many come after it in its thread', async () => {
    const retention = { runsMs: 3600_000, runsKept: 1, threadsMs: 3600_000 };
    const strict = await startTestGateway(test, { taskAfterMs: 0, waitMs: 0, retention });
    gateways.push(strict);
    const say = async (capabilities: object) => {
      const params = { name: 'agent', arguments: { message: 'Hi', thread_id: 'talk' } };
      await modern(strict.url, 'tools/call', params, { capabilities });
      return (await worker.answerNext('Hello')).claim;
    };
    const task = await say(tasks);
    const plain = await say({});
    await say({});
    expect(await get(task.chain)).toMatchObject({ status: 'completed', ttlMs: expect.any(Number) });
    expect((await ask('tasks/get', { taskId: plain.chain })).body?.error?.code).toBe(-32602);
  });

  it('is answered at once when it is over soon', async () => {
    const patient = await startTestGateway(test, { taskAfterMs: 60_000 });
    gateways.push(patient);
    const answer = modern(
      patient.url,
      'tools/call',
      { name: 'agent', arguments: { message: 'Hi' } },
      { capabilities: tasks },
    );
    await worker.answerNext('Hello');
    expect((await answer).body?.result).toMatchObject({
      resultType: 'complete',
      content: [{ type: 'text', text: 'Hello' }],
    });
  });

  it('is a task at once where the graph wants that, and never where it does not', async () => {
    expect(await call('long')).toMatchObject({ resultType: 'task' });
    expect(await call('short')).toMatchObject({
      resultType: 'complete',
      structuredContent: { status: 'queued' },
    });
  });

  it('is refused to a client that takes no tasks where the graph makes nothing else', async () => {
    const params = { name: 'long', arguments: { message: 'Hi' } };
    const answer = await modern(url(), 'tools/call', params);
    expect(answer.status).toBe(400);
    expect(answer.body?.error).toMatchObject({ code: -32021, data: { requiredCapabilities: tasks } });
    const plain = await modern(url(), 'tools/call', { ...params, name: 'agent' });
    expect(plain.body?.result).toMatchObject({
      resultType: 'complete',
      structuredContent: { status: 'queued' },
    });
  });

  it('that failed is a task that was completed with an error', async () => {
    const { taskId } = await call('agent');
    const run = await worker.next();
    await run.finish({ status: 'failed', error: { code: 'graph_error', message: 'It broke' } });
    expect(await get(taskId)).toMatchObject({
      status: 'completed',
      statusMessage: 'It broke',
      result: { isError: true },
    });
  });

  it('that failed for no reason of its own has failed as a task', async () => {
    const { taskId } = await call('agent');
    const run = await worker.next();
    await run.finish({ status: 'failed', error: { code: 'crash_budget', message: 'The worker died' } });
    const failed = await get(taskId);
    expect(failed).toMatchObject({
      status: 'failed',
      statusMessage: 'The worker died',
      error: { code: -32603, message: 'The worker died', data: { code: 'crash_budget' } },
    });
    expect(failed).not.toHaveProperty('result');
  });

  it('counts once with one key', async () => {
    const once = async () => {
      const _meta = { 'millrace/idempotency-key': 'order-7' };
      const { body } = await ask('tools/call', { name: 'agent', arguments: { message: 'Once' }, _meta });
      return body?.result?.taskId;
    };
    const first = await once();
    expect(first).toEqual(expect.any(String));
    expect(await once()).toBe(first);
  });
});

describe('questions', () => {
  it('are forms, and answers go on with the task at another gateway', async () => {
    const schema = {
      type: 'object',
      properties: { amount: { type: 'integer', minimum: 1 }, urgent: { type: 'boolean' } },
      required: ['amount'],
    };
    const { taskId } = await asking(question('q1', { message: 'How much?', requestedSchema: schema }));
    expect(await get(taskId)).toMatchObject({
      status: 'input_required',
      statusMessage: 'Waits for an answer',
      inputRequests: {
        q1: {
          method: 'elicitation/create',
          params: { mode: 'form', message: 'How much?', requestedSchema: schema },
        },
      },
    });
    const wrong = await update(taskId, { q1: accept({ amount: 0 }) });
    expect(wrong.body?.error).toMatchObject({
      code: -32602,
      message: expect.stringContaining('inputResponses["q1"]'),
    });

    const ack = await update(taskId, { q1: accept({ amount: 3 }), unheard: accept({}) });
    const { _meta: __, ...rest } = ack.body?.result ?? {};
    expect(rest).toEqual({ resultType: 'complete' });
    expect(await get(taskId)).toMatchObject({ taskId, status: 'working' });
    const next = await worker.next();
    expect(next.claim).toMatchObject({
      chain: taskId,
      request: { answers: { q1: { amount: 3 } }, resume: { 'i-q1': { amount: 3 } } },
    });
    // Repeated, and late.
    expect((await update(taskId, { q1: accept({ amount: 5 }) })).body?.result).toBeDefined();
    await next.finish({ status: 'succeeded', answer: 'Paid' });
    expect((await update(taskId, { q1: accept({ amount: 5 }) })).body?.result).toBeDefined();
    expect(await get(taskId)).toMatchObject({ status: 'completed', result: { content: [{ text: 'Paid' }] } });
    await expect(test.redis.llen(`${test.keys.queuePrefix()}:default:wait`)).resolves.toBe(0);
  });

  it('are answered one by one, and it goes on with all of them', async () => {
    const { taskId } = await asking(question('q1', 'One?'), question('q2', { question: 'Two?' }));
    const requests = async () => Object.keys((await get(taskId)).inputRequests as object);
    expect(await requests()).toEqual(['q1', 'q2']);
    await update(taskId, { q2: accept({ answer: 'second' }) });
    expect(await get(taskId)).toMatchObject({
      status: 'input_required',
      statusMessage: 'Waits for an answer',
    });
    expect(await requests()).toEqual(['q1']);
    await update(taskId, { q2: accept({ answer: 'changed' }), q1: accept({ answer: 'first' }) });
    const next = await worker.next();
    expect(next.claim.request.answers).toEqual({ q1: 'first', q2: 'second' });
    // Its next question is another one.
    await next.finish({ status: 'interrupted', questions: [question('q3', 'Three?')] });
    expect(await requests()).toEqual(['q3']);
  });

  it('stand when they are put off, and end the task when a person declines', async () => {
    const { taskId } = await asking(question('q1', 'Sure?'));
    await update(taskId, { q1: { action: 'cancel' } });
    expect(await get(taskId)).toMatchObject({ status: 'input_required' });
    await update(taskId, { q1: { action: 'decline' } });
    expect(await get(taskId)).toMatchObject({
      status: 'cancelled',
      statusMessage: 'Cancelled while it waited for an answer',
    });
    expect((await update(taskId, { q1: accept({ answer: 'yes' }) })).body?.result).toBeDefined();
    expect(await get(taskId)).toMatchObject({ status: 'cancelled' });
  });

  it('of a breakpoint pass with a yes alone', async () => {
    const breakpoint: Question = { id: 'b1', kind: 'breakpoint', node: 'pay' };
    const { taskId } = await asking(breakpoint);
    expect((await get(taskId)).inputRequests).toMatchObject({
      b1: {
        params: { message: expect.stringContaining('"pay"'), requestedSchema: { required: ['confirm'] } },
      },
    });
    await update(taskId, { b1: accept({ confirm: true }) });
    expect((await worker.next()).claim.request.answers).toEqual({ b1: true });

    const other = await asking({ ...breakpoint, id: 'b2' });
    await update(other.taskId, { b2: accept({}) });
    expect(await get(other.taskId)).toMatchObject({ status: 'cancelled' });
  });

  it('are closed by a newer message', async () => {
    const { taskId } = await call('agent', 'Ask', { thread_id: 'talk' });
    await (await worker.next()).finish({ status: 'interrupted', questions: [question('q1', 'Sure?')] });
    const parked = await get(taskId);
    // For as long as its thread is kept.
    expect(parked.ttlMs).toBeGreaterThan(29 * 24 * 3600_000);
    await call('agent', 'Never mind', { thread_id: 'talk' });
    expect(await get(taskId)).toMatchObject({
      status: 'cancelled',
      statusMessage: 'Superseded by a newer message',
      ttlMs: expect.any(Number),
    });
    expect((await get(taskId)).ttlMs).toBeLessThan(25 * 3600_000);
  });
});

describe('cancelling', () => {
  it('ends a task that waits, asks one at work to stop, and is acknowledged whenever it comes', async () => {
    const cancel = async (taskId: unknown) => {
      const { body } = await ask('tasks/cancel', { taskId });
      const { _meta: _, ...rest } = body?.result ?? {};
      expect(rest).toEqual({ resultType: 'complete' });
      return get(taskId);
    };
    const { taskId: waiting } = await call('agent');
    expect(await cancel(waiting)).toMatchObject({ status: 'cancelled', statusMessage: 'Cancelled' });
    await expect(worker.next()).rejects.toThrow('over');

    const { taskId: atWork } = await call('agent');
    const run = await worker.next();
    expect(await cancel(atWork)).toMatchObject({ status: 'working', statusMessage: 'Was asked to stop' });
    await run.finish({ status: 'succeeded', answer: 'Too late' });
    expect(await cancel(atWork)).toMatchObject({ status: 'completed' });

    const { taskId: asks } = await asking(question('q1', 'Sure?'));
    expect(await cancel(asks)).toMatchObject({ status: 'cancelled' });
  });
});

describe('what is refused', () => {
  const methods = ['tasks/get', 'tasks/update', 'tasks/cancel'];

  it.each(methods)('%s of a task that there is not', async (method) => {
    const { taskId } = await call('agent');
    const ids = ['', 'x', 'ü', '9'.repeat(5000), '00000000-0000-7000-8000-000000000000', '__proto__'];
    for (const id of ids) {
      const name = /^[\x20-\x7e]*$/.test(id) ? id : `=?base64?${Buffer.from(id).toString('base64')}?=`;
      const answer = await ask(method, { taskId: id, inputResponses: {} }, { 'mcp-name': name });
      expect([answer.status, answer.body?.error?.code]).toEqual([200, -32602]);
    }
    const foreign = await ask(method, { taskId, inputResponses: {} }, { 'x-tenant': 'globex' });
    expect(foreign.body?.error).toMatchObject({
      code: -32602,
      message: expect.stringContaining('There is no task'),
    });
    expect(await get(taskId)).toMatchObject({ status: 'working' });
  });

  it.each(methods)('%s without the capability', async (method) => {
    const { taskId } = await call('agent');
    const answer = await modern(url(), method, { taskId, inputResponses: {} });
    expect(answer.status).toBe(400);
    expect(answer.body?.error).toMatchObject({ code: -32021, data: { requiredCapabilities: tasks } });
  });

  it.each(methods)('%s under another name', async (method) => {
    const { taskId } = await call('agent');
    const answer = await ask(method, { taskId }, { 'mcp-name': 'another' });
    expect([answer.status, answer.body?.error?.code]).toEqual([400, -32020]);
  });

  it.each([
    ['no id', 'tasks/get', {}],
    ['an id that is none', 'tasks/cancel', { taskId: 5 }],
    ['no responses', 'tasks/update', { taskId: '' }],
  ])('%s', async (_, method, params) => {
    const { taskId } = await call('agent');
    const answer = await ask(method, {
      ...params,
      ...('taskId' in params && params.taskId === '' && { taskId }),
    });
    expect(answer.body?.error?.code).toBe(-32602);
  });

  it.each([
    ['nothing', { q1: null }],
    ['a text', { q1: 'yes' }],
    ['another action', { q1: { action: 'agree' } }],
  ])('a response that is %s', async (_, responses) => {
    const { taskId } = await asking(question('q1', 'Sure?'));
    expect((await update(taskId, responses)).body?.error?.code).toBe(-32602);
    expect(await get(taskId)).toMatchObject({ status: 'input_required' });
  });

  it.each(['tasks/list', 'tasks/result'])('%s, which this revision has not', async (method) => {
    const answer = await ask(method, { taskId: 'x' }, { 'mcp-name': 'x' });
    expect([answer.status, answer.body?.error?.code]).toEqual([404, -32601]);
  });
});
