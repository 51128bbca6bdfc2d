import type { Client } from '@langchain/langgraph-sdk';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AgentServer, agentServer } from '../apps/gateway/src/routes/agent-server-testing.ts';
import { all, clientOf, dataOf, type StreamPart } from './sdk-client.ts';

describe('the stock LangGraph client, with a worker that the test plays', () => {
  let server: AgentServer;
  let url: string;
  let client: Client;
  beforeEach(async () => {
    server = await agentServer();
    url = await server.listen();
    client = clientOf(url);
  });
  afterEach(() => server.close());

  const value = (x: number) => ({ name: 'values', data: JSON.stringify({ x }) });
  const metadata = { name: 'metadata', data: '{"run_id":"r","attempt":1}' };

  it('makes runs, joins them, and waits for them', async () => {
    const { thread_id } = await client.threads.create({ metadata: { topic: 'tea' } });
    const run = await client.runs.create(thread_id, 'agent', { input: { x: 0 }, metadata: { m: 1 } });
    expect(run).toMatchObject({ thread_id, status: 'pending', metadata: { m: 1 } });
    const joined = client.runs.join(thread_id, run.run_id);
    await server.putState(thread_id, { id: 'c1', values: { x: 1 } });
    await server.work(run.run_id, { status: 'succeeded', checkpoint: 'c1' });
    expect(await joined).toEqual({ x: 1 });
    expect(await client.runs.list(thread_id)).toMatchObject([{ run_id: run.run_id, status: 'success' }]);
    expect(await client.threads.get(thread_id)).toMatchObject({
      values: { x: 1 },
      metadata: { topic: 'tea' },
    });

    let created: { run_id: string; thread_id?: string } | undefined;
    const failing = client.runs.wait(thread_id, 'agent', {
      input: {},
      onRunCreated: (one) => (created = one),
    });
    const [waiting] = await until(
      () => client.runs.list(thread_id, { status: 'pending' }),
      (runs) => runs.length > 0,
    );
    await server.work(waiting?.run_id ?? '', {
      status: 'failed',
      error: { code: 'graph_error', message: 'no' },
    });
    await expect(failing).rejects.toThrow('graph_error: no');
    expect(created).toEqual({ thread_id, run_id: waiting?.run_id });
  });

  it('hears at once that its run is accepted, however long it waits for the outcome', async () => {
    const response = await fetch(`${url}/runs/wait`, { method: 'POST', body: '{"assistant_id":"agent"}' });
    const runId = response.headers.get('Content-Location')?.split('/').at(-1) ?? '';
    await server.work(runId, { status: 'succeeded' });
    expect(await response.json()).toEqual({});
  });

  it('streams, and knows its run from the start', async () => {
    const { thread_id } = await client.threads.create();
    let finished: Promise<void> | undefined;
    const stream = client.runs.stream(thread_id, 'agent', {
      input: {},
      streamMode: ['values'],
      onRunCreated: ({ run_id }) => {
        finished = server.work(run_id, { status: 'succeeded' }, [metadata, value(1), value(2)]);
      },
    });
    const parts = await all(stream);
    await finished;
    expect(parts.map((part) => part.event)).toEqual(['metadata', 'values', 'values']);
    expect(dataOf(parts, 'values')).toEqual([{ x: 1 }, { x: 2 }]);
  });

  it('comes back by itself to a stream that breaks, without a gap and without a repeat', async () => {
    const { thread_id } = await client.threads.create();
    const asked: string[] = [];
    const cutting = clientOf(url, {
      fetch: async (input, init) => {
        const response = await fetch(input, init);
        const { pathname } = new URL(String(input));
        asked.push(`${init?.method ?? 'GET'} ${pathname.split('/').at(-1)}`);
        return asked.length < 3 ? cutAfter(response, 2) : response;
      },
    });
    const values = Array.from({ length: 5 }, (_, x) => value(x));
    const stream = cutting.runs.stream(thread_id, 'agent', {
      input: {},
      onRunCreated: ({ run_id }) => void server.work(run_id, { status: 'succeeded' }, [metadata, ...values]),
    });
    const parts = await all(stream);
    expect(asked).toEqual(['POST stream', 'GET stream', 'GET stream']);
    expect(parts.map((part) => part.event)).toEqual(['metadata', ...values.map(() => 'values')]);
    expect(dataOf(parts, 'values')).toEqual(values.map((_, x) => ({ x })));
  });

  it('goes on after the last event it saw', async () => {
    const { thread_id } = await client.threads.create();
    const { run_id } = await client.runs.create(thread_id, 'agent', { input: {} });
    const end = await server.begin(run_id, [metadata, value(1), value(2)]);
    const seen: StreamPart[] = [];
    for await (const part of client.runs.joinStream(thread_id, run_id, { streamMode: 'values' })) {
      seen.push(part as StreamPart);
      if (seen.length === 2) break;
    }
    await end({ status: 'succeeded' });
    const lastEventId = seen.at(-1)?.id ?? '';
    expect(dataOf(await all(client.runs.joinStream(thread_id, run_id, { lastEventId })), 'values')).toEqual([
      { x: 2 },
    ]);
    const again = await all(client.runs.joinStream(null, run_id, { lastEventId: '-1' }));
    expect(dataOf(again, 'values')).toEqual([{ x: 1 }, { x: 2 }]);
  });

  it('stops a run when it goes away, if it said so', async () => {
    const { thread_id } = await client.threads.create();
    const leaving = new AbortController();
    let runId = '';
    const stream = client.runs.stream(thread_id, 'agent', {
      input: {},
      onDisconnect: 'cancel',
      signal: leaving.signal,
      onRunCreated: ({ run_id }) => {
        runId = run_id;
        leaving.abort();
      },
    });
    await all(stream).catch(() => undefined);
    expect(await client.runs.join(thread_id, runId)).toEqual({});
    expect(await client.runs.get(thread_id, runId)).toMatchObject({ status: 'interrupted' });
  });

  it('sees state and history, and stops runs', async () => {
    const { thread_id } = await client.threads.create();
    await server.putState(thread_id, { id: 'c1', values: { x: 1 } });
    await server.putState(thread_id, {
      id: 'c2',
      parent: 'c1',
      values: { x: 2 },
      tasks: [{ id: 't', name: 'n' }],
    });
    const state = await client.threads.getState(thread_id);
    expect(state).toMatchObject({ values: { x: 2 }, next: ['n'], checkpoint: { checkpoint_id: 'c2' } });
    expect(await client.threads.getState(thread_id, 'c1')).toMatchObject({ values: { x: 1 } });
    expect(await client.threads.getState(thread_id, state.parent_checkpoint ?? '')).toMatchObject({
      values: { x: 1 },
    });
    const history = await client.threads.getHistory(thread_id);
    expect(history.map((one) => one.checkpoint.checkpoint_id)).toEqual(['c2', 'c1']);
    const { run_id } = await client.runs.create(thread_id, 'agent', { input: {} });
    await client.runs.cancel(thread_id, run_id, true);
    expect(await client.runs.get(thread_id, run_id)).toMatchObject({ status: 'interrupted' });
    await expect(client.threads.getState('nobody')).rejects.toMatchObject({ status: 404 });
    await client.threads.update(thread_id, { metadata: { done: true } });
    await client.threads.delete(thread_id);
    await expect(client.threads.get(thread_id)).rejects.toMatchObject({ status: 404 });
  });
});

/** Lets so many events of a stream through, then breaks it as a network does. */
function cutAfter(response: Response, events: number): Response {
  let left = events;
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      while (reader) {
        const end = text.indexOf('\n\n');
        if (end >= 0 && left > 0) {
          controller.enqueue(new TextEncoder().encode(text.slice(0, end + 2)));
          text = text.slice(end + 2);
          left -= 1;
          return;
        }
        if (left === 0) {
          await reader.cancel();
          controller.error(new TypeError('terminated'));
          return;
        }
        const { done, value } = await reader.read();
        if (done) return controller.close();
        text += value;
      }
    },
  });
  return new Response(body, { status: response.status, headers: response.headers });
}

/** Asks until the answer is as wanted. */
async function until<T>(ask: () => Promise<T>, wanted: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (wanted(answer)) return answer;
  }
}
