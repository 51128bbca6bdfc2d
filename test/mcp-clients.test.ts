import { Catalog } from '@millrace/shared/catalog';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  catalogEntry,
  startTestGateway,
  type TestGateway,
  TestWorker,
} from '../apps/gateway/src/mcp/test-gateway.ts';
import { type AnyClient, generations, inTurn } from './mcp-client.ts';

let test: TestRedis;
let worker: TestWorker;
let gateways: TestGateway[];
let clients: AnyClient[];

beforeEach(async () => {
  test = await testRedis();
  gateways = [];
  clients = [];
  worker = new TestWorker(test);
  await new Catalog(test.redis, test.keys).publish([
    catalogEntry('agent'),
    catalogEntry('sum', {
      conversational: false,
      inputSchema: {
        type: 'object',
        properties: { a: { type: 'number' }, b: { type: 'number' } },
        required: ['a', 'b'],
      },
    }),
  ]);
});

afterEach(async () => {
  await Promise.all(clients.map((one) => one.close()));
  await Promise.all(gateways.map((one) => one.close()));
  await worker.close();
  await test.close();
});

describe.each(generations)('$name', ({ revision, connect }) => {
  const takesBack = revision === '2026-07-28';

  async function connected(options: Parameters<typeof startTestGateway>[1] = {}) {
    for (let i = 0; i < 2; i += 1) gateways.push(await startTestGateway(test, options));
    const fetch = inTurn(gateways.map((one) => one.url));
    const as = async (name: string) => {
      const client = await connect(fetch, { 'x-tenant': name });
      clients.push(client);
      return client;
    };
    return { client: await as('acme'), as };
  }

  it('speaks its own revision and lists the graphs and the tools about runs', async () => {
    const { client } = await connected();
    expect(client.revision()).toBe(revision);
    expect(await client.toolNames()).toEqual(['agent', 'sum', 'get_run', 'respond_run', 'cancel_run']);
  });

  it('gets the answer of a call, and goes on in the same thread', async () => {
    const { client } = await connected();
    await client.toolNames();
    const [first, run] = await Promise.all([
      client.call('agent', { message: 'What is 2 + 2?' }),
      worker.answerNext('4'),
    ]);
    expect(first).toMatchObject({
      text: '4',
      isError: false,
      output: { run_id: run.claim.runId, status: 'succeeded', answer: '4' },
    });
    expect(run.claim.request).toMatchObject({
      graph: 'agent',
      input: { messages: [{ role: 'user', content: 'What is 2 + 2?' }] },
      streamModes: ['updates'],
    });

    const [second, next] = await Promise.all([
      client.call('agent', { message: 'And 3 + 3?', thread_id: first.output.thread_id }),
      worker.answerNext('6'),
    ]);
    expect(second.output).toMatchObject({ answer: '6', thread_id: first.output.thread_id });
    expect(next.claim.thread).toBe(run.claim.thread);
  });

  it('hears of the steps while it waits', async () => {
    const { client } = await connected({ progressMs: 0 });
    const heard: string[] = [];
    let wake = () => {};
    const until = async (message: string) => {
      while (!heard.includes(message)) await new Promise<void>((resolve) => (wake = resolve));
    };
    const steps: number[] = [];
    const call = client.call(
      'agent',
      { message: 'Go' },
      {
        onprogress: ({ progress, message }) => {
          steps.push(progress);
          heard.push(message ?? '');
          wake();
        },
      },
    );
    const run = await worker.next();
    await until('running');
    await run.emit('updates', { plan: { todo: 1 } });
    await until('plan done');
    await run.emit('updates|research:0b7c', { search: {} });
    await until('research / search done');
    const said = { type: 'ai', id: 'm1', content: 'x', usage_metadata: { total_tokens: 12 } };
    await run.emit('updates', { agent: { messages: [said] } });
    await until('agent done (12 tokens so far)');
    await run.finish({ status: 'succeeded', answer: 'Done' });
    expect((await call).text).toBe('Done');
    expect(heard).toEqual([
      'queued',
      'running',
      'plan done',
      'research / search done',
      'agent done (12 tokens so far)',
    ]);
    expect(steps).toEqual([1, 2, 3, 4, 5]);
  });

  it('gets the questions of a run and answers them', async () => {
    const { client } = await connected();
    await client.toolNames();
    const [asked, run] = await Promise.all([
      client.call('agent', { message: 'Delete all' }),
      worker.next().then(async (one) => {
        await one.finish({
          status: 'interrupted',
          questions: [
            { id: 'q1', kind: 'interrupt', node: 'tools', interruptId: 'i1', value: { question: 'Really?' } },
          ],
        });
        return one;
      }),
    ]);
    expect(asked.isError).toBe(false);
    expect(asked.text).toContain('{"question":"Really?"}');
    expect(asked.text).toContain(`"run_id": "${run.claim.runId}"`);
    expect(asked.output).toEqual({
      run_id: run.claim.runId,
      thread_id: run.claim.thread,
      status: 'interrupted',
      questions: [{ id: 'q1', kind: 'interrupt', node: 'tools', value: { question: 'Really?' } }],
    });

    const [done, resumed] = await Promise.all([
      client.call('respond_run', { run_id: run.claim.runId, answer: { approve: true } }),
      worker.answerNext('All deleted'),
    ]);
    expect(resumed.claim.request).toMatchObject({
      answers: { q1: { approve: true } },
      resume: { i1: { approve: true } },
    });
    expect(done).toMatchObject({ text: 'All deleted', output: { run_id: resumed.claim.runId } });

    // Whoever holds the first id still finds the outcome; the question is answered for good.
    expect(await client.call('get_run', { run_id: run.claim.runId })).toMatchObject({ text: 'All deleted' });
    const again = await client.call('respond_run', { run_id: run.claim.runId, answer: false });
    expect(again).toMatchObject({ isError: true, text: expect.stringContaining('no open question') });
  });

  it('wants to know which of several questions an answer is for', async () => {
    const { client } = await connected();
    const [asked, run] = await Promise.all([
      client.call('agent', { message: 'Two things' }),
      worker.next().then(async (one) => {
        await one.finish({
          status: 'interrupted',
          questions: [
            { id: 'q1', kind: 'interrupt', node: 'a', interruptId: 'i1', value: 'One?' },
            { id: 'q2', kind: 'interrupt', node: 'b', interruptId: 'i2', value: 'Two?' },
          ],
        });
        return one;
      }),
    ]);
    const run_id = run.claim.runId;
    expect(asked.output.questions).toHaveLength(2);
    expect(await client.call('respond_run', { run_id, answer: 1 })).toMatchObject({
      isError: true,
      text: expect.stringContaining('q1, q2'),
    });
    const [, resumed] = await Promise.all([
      client.call('respond_run', { run_id, answers: { q1: 1, q2: 2 } }),
      worker.answerNext('Both'),
    ]);
    expect(resumed.claim.request.resume).toEqual({ i1: 1, i2: 2 });
  });

  it('gets a handle when the run takes longer than the call, and waits with it', async () => {
    const { client } = await connected({ waitMs: 0 });
    await client.toolNames();
    const handed = await client.call('agent', { message: 'Take your time' });
    expect(handed).toMatchObject({ isError: false, output: { status: 'queued' } });
    expect(handed.text).toContain('get_run');
    const { run_id } = handed.output;

    const run = await worker.next();
    expect((await client.call('get_run', { run_id, wait_seconds: 0 })).output.status).toBe('running');
    const [got] = await Promise.all([
      client.call('get_run', { run_id, wait_seconds: 50 }),
      run.finish({ status: 'succeeded', answer: 'At last' }),
    ]);
    expect(got).toMatchObject({ text: 'At last', output: { run_id, status: 'succeeded' } });
  });

  it('cancels a run that waits, one at work, and the questions of one that asks', async () => {
    const { client } = await connected({ waitMs: 0 });
    const start = async (message: string) => (await client.call('agent', { message })).output.run_id;
    const cancel = (run_id: string) => client.call('cancel_run', { run_id });

    const waiting = await start('Never mind');
    expect(await cancel(waiting)).toMatchObject({
      isError: false,
      output: { run_id: waiting, status: 'cancelled' },
    });
    expect(await client.call('get_run', { run_id: waiting })).toMatchObject({
      isError: true,
      output: { status: 'cancelled' },
    });
    // Its job rings all the same; the worker finds that there is nothing to do.
    await expect(worker.next()).rejects.toThrow('over');

    const atWork = await start('Stop in the middle');
    const run = await worker.next();
    const asked = await cancel(atWork);
    expect(asked).toMatchObject({ isError: false, output: { status: 'running' } });
    expect(asked.text).toContain('asked to stop');
    await run.finish({ status: 'cancelled' });
    expect(await cancel(atWork)).toMatchObject({ isError: false, output: { status: 'cancelled' } });

    const asking = await start('Ask me');
    await (await worker.next()).finish({
      status: 'interrupted',
      questions: [{ id: 'q1', kind: 'interrupt', node: 'ask', interruptId: 'i1', value: 'Well?' }],
    });
    expect(await cancel(asking)).toMatchObject({ isError: false, output: { status: 'cancelled' } });
    expect(await client.call('get_run', { run_id: asking })).toMatchObject({
      isError: true,
      text: 'The run was cancelled.',
    });

    const done = await start('Quick');
    await worker.answerNext('Too late');
    const late = await cancel(done);
    expect(late).toMatchObject({ isError: false, output: { status: 'succeeded' } });
    expect(late.text).toContain('had ended');
  });

  it('learns that a newer message has closed the questions of a run', async () => {
    const { client } = await connected({ waitMs: 0 });
    const first = await client.call('agent', { message: 'Ask me', thread_id: 'talk' });
    await (await worker.next()).finish({
      status: 'interrupted',
      questions: [{ id: 'q1', kind: 'interrupt', node: 'ask', interruptId: 'i1', value: 'Well?' }],
    });
    await client.call('agent', { message: 'Forget it', thread_id: 'talk' });
    const { run_id } = first.output;
    const closed = await client.call('get_run', { run_id });
    expect(closed).toMatchObject({ isError: true, output: { run_id, status: 'cancelled' } });
    expect(closed.text).toContain('superseded');
    expect(await client.call('respond_run', { run_id, answer: 'yes' })).toMatchObject({ isError: true });
  });

  it('is told of a failure as the outcome of the tool', async () => {
    const { client } = await connected();
    await client.toolNames();
    const [failed] = await Promise.all([
      client.call('sum', { a: 1, b: 2 }),
      worker.next().then((run) =>
        run.finish({
          status: 'failed',
          error: { code: 'graph_error', message: 'It broke', name: 'TypeError' },
        }),
      ),
    ]);
    expect(failed).toMatchObject({
      isError: true,
      text: 'The run failed (graph_error): It broke',
      output: { status: 'failed', error: { code: 'graph_error', message: 'It broke' } },
    });
  });

  it('is told which argument is wrong', async () => {
    const { client } = await connected();
    const texts = async (name: string, args: Record<string, unknown>) => {
      const { isError, text } = await client.call(name, args);
      return isError && text;
    };
    expect(await texts('agent', {})).toContain("'message'");
    expect(await texts('agent', { message: 'x', thread_id: 1 })).toContain('thread_id must be string');
    expect(await texts('agent', { message: ' ' })).toContain('message must match');
    expect(await texts('agent', { message: 'x', thread_id: '\ud800' })).toContain('thread_id must match');
    expect(await texts('agent', { message: 'x', mesage: 'y' })).toContain('mesage: not known here');
    expect(await texts('sum', { a: 'one', b: 2 })).toContain('a must be number');
    expect(await texts('get_run', { wait_seconds: -1 })).toMatch(/run_id is missing.*wait_seconds/);
    expect(await texts('respond_run', { run_id: 'x' })).toContain('There is no run');
  });

  it('finds no tool by a wrong name', async () => {
    const { client } = await connected();
    await expect(client.call('nothing', {})).rejects.toMatchObject({
      code: -32602,
      message: expect.stringContaining('agent, sum, get_run'),
    });
  });

  it("finds no run of another tenant's", async () => {
    const { client, as } = await connected({ waitMs: 0 });
    const { run_id } = (await client.call('agent', { message: 'Mine' })).output;
    const stranger = await as('globex');
    for (const [name, args] of [
      ['get_run', { run_id }],
      ['respond_run', { run_id, answer: 1 }],
      ['cancel_run', { run_id }],
    ] as const) {
      expect(await stranger.call(name, args)).toMatchObject({
        isError: true,
        text: `There is no run "${run_id}"`,
      });
    }
    expect((await client.call('get_run', { run_id, wait_seconds: 0 })).output.status).toBe('queued');
  });

  it('starts one run for one idempotency key', async () => {
    const { client } = await connected({ waitMs: 0 });
    const call = (message: string) => client.call('agent', { message }, { idempotencyKey: 'order-7' });
    const [first, second] = [await call('Once'), await call('Once')];
    expect(second.output.run_id).toBe(first.output.run_id);
    expect(await call('Something else')).toMatchObject({
      isError: true,
      text: expect.stringContaining('another request'),
    });
  });

  // Closing a call is how the newest revision takes it back; before, a connection may be lost for any reason.
  it(`${takesBack ? 'stops' : 'leaves'} the run when it gives up waiting`, async () => {
    const { client } = await connected();
    const leaving = new AbortController();
    const call = client.call('agent', { message: 'Work', thread_id: 't-1' }, { signal: leaving.signal });
    const run = await worker.next();
    leaving.abort();
    await expect(call).rejects.toThrow();
    if (takesBack) {
      await vi.waitFor(async () => expect(await run.isAskedToStop()).toBe(true), 10_000);
      return;
    }
    await run.finish({ status: 'succeeded', answer: 'Done all the same' });
    const got = await client.call('get_run', { run_id: run.claim.runId });
    expect(got.text).toBe('Done all the same');
    expect(await run.isAskedToStop()).toBe(false);
  });

  it('gets what there is when the gateway leaves', async () => {
    const { client } = await connected();
    const call = client.call('agent', { message: 'Long work' });
    const run = await worker.next();
    for (const gateway of gateways) gateway.drain.abort();
    expect((await call).output).toMatchObject({ run_id: run.claim.runId, status: 'running' });
    await run.finish({ status: 'succeeded', answer: '' });
  });
});

/** As hosts do that know both transports: the new one, and where it is not there the old one. */
async function connectEitherWay(url: URL): Promise<unknown> {
  const connect = async (transport: Transport) => {
    const client = new Client({ name: 'test', version: '1' });
    await client.connect(transport);
    await client.close();
  };
  try {
    return await connect(new StreamableHTTPClientTransport(url) as Transport);
  } catch (error) {
    const { code } = error as { code?: number };
    if (code !== 404 && code !== 405 && code !== 400) throw error;
    return connect(new SSEClientTransport(url));
  }
}

it('tells a stock client that was given the address of the old transport where to go', async () => {
  const gateway = await startTestGateway(test);
  gateways.push(gateway);
  await expect(connectEitherWay(new URL('/sse', gateway.url))).rejects.toThrow(
    'use Streamable HTTP: POST /mcp',
  );
  await expect(connectEitherWay(gateway.url)).resolves.toBeUndefined();
});
