import { Catalog } from '@millrace/shared/catalog';
import type { Question } from '@millrace/shared/contract/run';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { createRequestStateCodec } from '@modelcontextprotocol/server';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { catalogEntry, startTestGateway, type TestGateway, TestWorker } from './test-gateway.ts';
import { modern, tasks } from './test-rpc.ts';

let test: TestRedis;
let worker: TestWorker;
let here: TestGateway;
let elsewhere: TestGateway;

beforeEach(async () => {
  test = await testRedis();
  worker = new TestWorker(test);
  await new Catalog(test.redis, test.keys).publish([catalogEntry('agent'), catalogEntry('other')]);
  [here, elsewhere] = await Promise.all([startTestGateway(test), startTestGateway(test)]);
});
afterEach(async () => {
  vi.useRealTimers();
  await Promise.all([here.close(), elsewhere.close()]);
  await worker.close();
  await test.close();
});

const forms = { elicitation: {} };
const args = { message: 'Delete all' };
const question = (id: string): Question => ({
  id,
  kind: 'interrupt',
  node: 'ask',
  interruptId: `i-${id}`,
  value: id,
});

async function call(
  gateway: TestGateway,
  params: Record<string, unknown> = {},
  { capabilities = forms, headers = {} }: { capabilities?: object; headers?: Record<string, string> } = {},
) {
  const request = { name: 'agent', arguments: args, ...params };
  return (await modern(gateway.url, 'tools/call', request, { capabilities, headers })).body;
}

/** Calls, and has the run ask. */
async function asked(...ids: string[]) {
  const calling = call(here);
  const run = await worker.next();
  await run.finish({ status: 'interrupted', questions: ids.map(question) });
  const result = (await calling)?.result;
  return { result, requestState: String(result?.requestState), run };
}

const accept = (answer: string) => ({ action: 'accept', content: { answer } });

it('gives what a run asks as the result of its call, and takes the answers at another gateway', async () => {
  const { result, requestState, run } = await asked('q1', 'q2');
  expect(result).toMatchObject({
    resultType: 'input_required',
    inputRequests: { q1: { method: 'elicitation/create' }, q2: { method: 'elicitation/create' } },
  });
  expect(result).not.toHaveProperty('taskId');

  // What is missing is asked for again.
  const partly = await call(elsewhere, {
    requestState,
    inputResponses: { q1: accept('yes'), other: accept('x') },
  });
  expect(partly?.result).toMatchObject({ resultType: 'input_required' });
  expect(Object.keys(partly?.result?.inputRequests as object)).toEqual(['q2']);
  expect(partly?.result?.requestState).not.toBe(requestState);

  const again = call(here, {
    requestState: partly?.result?.requestState,
    inputResponses: { q2: accept('no') },
  });
  const next = await worker.next();
  expect(next.claim).toMatchObject({ chain: run.claim.runId, request: { answers: { q1: 'yes', q2: 'no' } } });
  await next.finish({ status: 'succeeded', answer: 'Done' });
  expect((await again)?.result).toMatchObject({ resultType: 'complete', content: [{ text: 'Done' }] });

  // A retry whose answer was lost on the way.
  const repeated = await call(elsewhere, {
    requestState,
    inputResponses: { q1: accept('no'), q2: accept('yes') },
  });
  expect(repeated?.result).toMatchObject({ content: [{ text: 'Done' }] });
});

it('shows the questions when a person puts them off, and ends with one who declines', async () => {
  const { requestState, run } = await asked('q1');
  const later = await call(elsewhere, { requestState, inputResponses: { q1: { action: 'cancel' } } });
  expect(later?.result).toMatchObject({
    resultType: 'complete',
    structuredContent: { run_id: run.claim.runId, status: 'interrupted' },
  });
  const never = await call(here, { requestState, inputResponses: { q1: { action: 'decline' } } });
  expect(never?.result).toMatchObject({ isError: true, structuredContent: { status: 'cancelled' } });
});

it('asks nobody who takes no forms', async () => {
  for (const capabilities of [{}, { elicitation: { url: {} } }]) {
    const calling = call(here, {}, { capabilities });
    await (await worker.next()).finish({ status: 'interrupted', questions: [question('q1')] });
    expect((await calling)?.result).toMatchObject({ structuredContent: { status: 'interrupted' } });
  }
});

it('hands a task to who takes both', async () => {
  const soon = await startTestGateway(test, { taskAfterMs: 60_000 });
  const calling = call(soon, {}, { capabilities: { ...forms, ...tasks } });
  await (await worker.next()).finish({ status: 'interrupted', questions: [question('q1')] });
  expect((await calling)?.result).toMatchObject({ resultType: 'task', status: 'input_required' });
  await soon.close();
});

describe('an argument that is for a person to say', () => {
  const properties = {
    amount: { type: 'integer', 'x-ask-person': true, description: 'Cents' },
    to: { type: 'string' },
  };
  const pay = { name: 'pay', arguments: { to: 'Ada' } };
  const amount = (content: object) => ({ arguments: { action: 'accept', content } });

  beforeEach(async () => {
    const inputSchema = { type: 'object', properties, required: ['to'] };
    await new Catalog(test.redis, test.keys).publish([
      catalogEntry('pay', { conversational: false, inputSchema, taskSupport: 'required' }),
    ]);
  });

  it('is asked for before there is a task', async () => {
    const both = { capabilities: { ...forms, ...tasks } };
    const asked = (await call(here, pay, both))?.result;
    expect(asked).toMatchObject({
      resultType: 'input_required',
      inputRequests: {
        arguments: {
          method: 'elicitation/create',
          params: {
            requestedSchema: {
              type: 'object',
              properties: { amount: { type: 'integer', description: 'Cents' } },
              required: ['amount'],
            },
          },
        },
      },
    });
    expect(asked).not.toHaveProperty('taskId');
    const { requestState } = asked ?? {};
    const inputResponses = amount({ amount: 5, to: 'Eve' });
    const started = (await call(elsewhere, { ...pay, requestState, inputResponses }, both))?.result;
    expect(started).toMatchObject({ resultType: 'task', status: 'working' });
    expect(started).not.toHaveProperty('requestState');
    expect((await worker.next()).claim.request.input).toEqual({ to: 'Ada', amount: 5 });

    const nothing = await call(here, { ...pay, requestState, inputResponses: {} }, both);
    expect(nothing?.result).toMatchObject({ resultType: 'input_required' });
    const wrong = await call(
      here,
      { ...pay, requestState, inputResponses: amount({ amount: 'five' }) },
      both,
    );
    expect(wrong?.result).toMatchObject({
      isError: true,
      content: [{ text: expect.stringContaining('amount') }],
    });
    const declined = { arguments: { action: 'decline' } };
    const no = await call(here, { ...pay, requestState, inputResponses: declined }, both);
    expect(no?.result).toMatchObject({ resultType: 'complete', isError: true });
  });

  it('is left out where no person can be asked', async () => {
    expect((await call(here, pay, { capabilities: tasks }))?.result).toMatchObject({ resultType: 'task' });
  });
});

describe('a state is refused', () => {
  const inputResponses = { q1: accept('yes') };
  const invalid = expect.objectContaining({ code: -32602 });

  it('that was altered', async () => {
    const { requestState } = await asked('q1');
    const [version, body = '', mac] = requestState.split('.');
    const open = JSON.parse(Buffer.from(body, 'base64url').toString());
    const forged = Buffer.from(JSON.stringify({ ...open, p: { ...open.p, tenant: 'globex' } })).toString(
      'base64url',
    );
    const other = createRequestStateCodec({ key: 'x'.repeat(32) });
    for (const state of [
      '',
      'x',
      `${version}.${forged}.${mac}`,
      await other.mint(open.p),
      `${requestState}A`,
      5,
    ]) {
      expect((await call(elsewhere, { requestState: state, inputResponses }))?.error).toEqual(invalid);
    }
  });

  it("that is another tenant's, or another call's", async () => {
    const { requestState } = await asked('q1');
    const foreign = { headers: { 'x-tenant': 'globex' } };
    expect((await call(elsewhere, { requestState, inputResponses }, foreign))?.error).toEqual(invalid);
    for (const another of [{ name: 'other' }, { arguments: { message: 'Delete nothing' } }]) {
      expect((await call(elsewhere, { requestState, inputResponses, ...another }))?.error).toEqual(invalid);
    }
  });

  it('that has expired', async () => {
    const { requestState } = await asked('q1');
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_601_000 });
    expect((await call(elsewhere, { requestState, inputResponses }))?.error).toEqual(invalid);
  });
});

describe('a call that is closed', () => {
  const closed = async (options: Parameters<typeof modern>[3] & { key?: string } = {}) => {
    const leaving = new AbortController();
    const _meta = options.key === undefined ? {} : { 'millrace/idempotency-key': options.key };
    const params = { name: 'agent', arguments: args, _meta };
    const calling = modern(here.url, 'tools/call', params, { ...options, signal: leaving.signal });
    const run = await worker.next();
    leaving.abort();
    await expect(calling).rejects.toThrow();
    return run;
  };
  /** Closes a call that is taken back, so that what was closed before it has had its time. */
  const closeAnother = async () => {
    const run = await closed();
    await vi.waitFor(async () => expect(await run.isAskedToStop()).toBe(true), 10_000);
  };

  it('is taken back', closeAnother);

  it('is not, with a key under which it may come again', async () => {
    const run = await closed({ key: 'again' });
    await closeAnother();
    expect(await run.isAskedToStop()).toBe(false);
    const again = call(elsewhere, { _meta: { 'millrace/idempotency-key': 'again' } });
    await run.finish({ status: 'succeeded', answer: 'Done' });
    expect((await again)?.result).toMatchObject({ content: [{ text: 'Done' }] });
  });

  it('is not, when it is about to be a task', async () => {
    await here.close();
    here = await startTestGateway(test, { taskAfterMs: 60_000 });
    const run = await closed({ capabilities: tasks });
    await closeAnother();
    expect(await run.isAskedToStop()).toBe(false);
  });
});
