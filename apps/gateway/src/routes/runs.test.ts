import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LONGEST_WAIT_MS } from '../use-cases/runs.ts';
import { AGENT_ID, type AgentServer, agentServer } from './agent-server-testing.ts';

let server: AgentServer;
beforeEach(async () => {
  server = await agentServer();
  await server.json('POST', '/threads', { thread_id: 't1' });
});
afterEach(() => server.close());

const input = { messages: 'hi' };
const body = { assistant_id: 'agent', input };

interface Run {
  run_id: string;
  thread_id: string;
}
const create = (more: object = {}, thread = 't1') =>
  server.json<Run>('POST', `/threads/${thread}/runs`, { ...body, ...more });
const status = async (method: string, path: string, more?: object) =>
  (await server.send(method, path, more && { body: more })).status;

/** The run that an answer with a stream or a value to come is about. */
const runOf = (response: Response) =>
  (response.headers.get('Content-Location') ?? '').split('/').at(-1) ?? '';

/** An event stream's events, without comments and hints. */
async function eventsOf(response: Response): Promise<{ id?: string; event: string; data: unknown }[]> {
  const blocks = (await response.text()).split('\n\n');
  return blocks.flatMap((block) => {
    const fields = new Map(block.split('\n').map((line) => line.split(/: (.*)/s) as [string, string]));
    const event = fields.get('event');
    if (event === undefined) return [];
    const id = fields.get('id');
    return [{ ...(id !== undefined && { id }), event, data: JSON.parse(fields.get('data') ?? 'null') }];
  });
}

const metadata = (runId: string) => ({
  name: 'metadata',
  data: JSON.stringify({ run_id: runId, attempt: 1 }),
});
const values = (x: unknown) => ({ name: 'values', data: JSON.stringify({ x }) });

describe('a run', () => {
  it('is shown as the Agent Server shows it, at each stage', async () => {
    const response = await server.send('POST', '/threads/t1/runs', {
      body: {
        ...body,
        metadata: { m: 1 },
        config: { tags: ['a'], recursion_limit: 9, configurable: { k: 1 } },
        context: { c: 1 },
        stream_mode: ['updates'],
        multitask_strategy: 'interrupt',
      },
    });
    const run = (await response.json()) as Run;
    expect(run).toMatchObject({
      thread_id: 't1',
      assistant_id: AGENT_ID,
      status: 'pending',
      metadata: { m: 1 },
      multitask_strategy: 'interrupt',
      kwargs: {
        input,
        config: { tags: ['a'], recursion_limit: 9, configurable: { k: 1 } },
        context: { c: 1 },
        stream_mode: ['updates'],
      },
    });
    const path = `/threads/t1/runs/${run.run_id}`;
    expect(response.headers.get('Content-Location')).toBe(path);
    expect(response.headers.get('Location')).toBe(`${path}/stream`);
    const end = await server.begin(run.run_id, []);
    expect(await server.json('GET', path)).toMatchObject({ status: 'running' });
    await end({ status: 'failed', error: { code: 'timeout', message: 'too long' } });
    expect(await server.json('GET', path)).toMatchObject({ status: 'timeout' });
    expect(await status('DELETE', path)).toBe(422);
  });

  it('is listed with its thread, by page and by status', async () => {
    const [first, second, third] = [await create(), await create(), await create()];
    await server.work(first.run_id, { status: 'succeeded' });
    const list = async (query = '') =>
      (await server.json<Run[]>('GET', `/threads/t1/runs${query}`)).map((run) => run.run_id);
    expect((await list()).sort()).toEqual([first, second, third].map((run) => run.run_id).sort());
    expect(await list('?limit=1')).toHaveLength(1);
    expect(await list('?offset=3')).toEqual([]);
    expect(await list('?status=success')).toEqual([first.run_id]);
    expect(await server.json('GET', '/threads/t1/runs?status=success&select=status')).toEqual([
      { status: 'success' },
    ]);
    expect(await status('GET', '/threads/t1/runs?status=nonsense')).toBe(422);
  });

  it('counts once for one idempotency key, and refuses another body', async () => {
    const headers = { 'Idempotency-Key': 'k' };
    const send = (more: object, path = '/threads/t1/runs') =>
      server.send('POST', path, { body: { ...body, ...more }, headers });
    const runs = await Promise.all([send({}), send({}), send({})]);
    expect(new Set(runs.map(runOf)).size).toBe(1);
    expect((await send({ input: 'other' })).status).toBe(422);
    const alone = await Promise.all([send({}, '/runs'), send({}, '/runs')]);
    expect(new Set(alone.map((one) => one.headers.get('Content-Location'))).size).toBe(1);
  });

  it('needs its thread, or leave to make it', async () => {
    expect(await status('POST', '/threads/new/runs', body)).toBe(404);
    expect(await status('POST', '/threads/new/runs', { ...body, if_not_exists: 'create' })).toBe(200);
    expect(await server.json('GET', '/threads/new')).toMatchObject({
      metadata: { graph_id: 'agent' },
      status: 'busy',
    });
  });

  it('starts from a checkpoint of its thread, and from none that is not there', async () => {
    await server.putState('t1', { id: 'c1' });
    expect(await create({ checkpoint_id: 'c1' })).toMatchObject({ kwargs: { checkpoint_id: 'c1' } });
    expect(await create({ checkpoint: { checkpoint_id: 'gone' } })).toMatchObject({
      status: 404,
      field: 'checkpoint_id',
    });
  });

  it('waits, is refused, or interrupts when the thread is busy', async () => {
    const first = await create();
    expect(await create()).toMatchObject({ status: 'pending', multitask_strategy: 'enqueue' });
    const refused = await server.send('POST', '/threads/t1/runs', {
      body: { ...body, multitask_strategy: 'reject' },
    });
    expect(refused.status).toBe(422);
    expect(await refused.json()).toMatchObject({ code: 'thread_busy', status: 422 });
    await create({ multitask_strategy: 'interrupt' });
    expect(await server.json('GET', `/threads/t1/runs/${first.run_id}`)).toMatchObject({
      status: 'interrupted',
    });
  });

  it('waits until it is due', async () => {
    const run = await create({ after_seconds: 60 });
    expect(run).toMatchObject({ status: 'pending' });
    await expect(server.begin(run.run_id, [])).rejects.toThrow('not_head');
  });

  it('of another tenant, or of another thread, is not there', async () => {
    const { run_id } = await create();
    await server.json('POST', '/threads', { thread_id: 't2' });
    const verbs = [
      ['GET', ''],
      ['GET', '/join'],
      ['GET', '/stream'],
      ['POST', '/cancel'],
    ] as const;
    for (const [method, rest] of verbs) {
      expect(await status(method, `/threads/t2/runs/${run_id}${rest}`), rest).toBe(404);
      const headers = { 'X-Tenant': 'other' };
      const foreign = await server.send(method, `/threads/t1/runs/${run_id}${rest}`, { headers });
      expect(foreign.status, rest).toBe(404);
    }
    const foreign = { headers: { 'X-Tenant': 'other' } };
    expect((await server.send('GET', `/runs/${run_id}/stream`, foreign)).status).toBe(404);
    expect((await server.send('POST', '/threads/t1/runs', { ...foreign, body })).status).toBe(404);
    expect(await status('GET', '/threads/t1/runs/nonsense')).toBe(404);
  });

  it('takes no wrong type, and says which field', async () => {
    for (const path of ['/threads/t1/runs', '/threads/t1/runs/wait', '/threads/t1/runs/stream', '/runs']) {
      const response = await server.send('POST', path, { body: { ...body, metadata: 'x' } });
      expect(response.status).toBe(422);
      expect(await response.json()).toMatchObject({ field: 'metadata' });
    }
    expect(await server.json('POST', '/runs', {})).toMatchObject({ status: 422, field: 'assistant_id' });
    expect(await server.json('POST', '/runs', { assistant_id: 'nobody' })).toMatchObject({ status: 404 });
    expect(await server.json('POST', '/runs', { ...body, checkpoint_id: 'c' })).toMatchObject({
      field: 'checkpoint_id',
    });
    const headers = { 'Idempotency-Key': 'k'.repeat(256) };
    expect((await server.send('POST', '/runs', { body, headers })).status).toBe(422);
  });
});

describe('runs without a thread', () => {
  it('get one of their own', async () => {
    const run = await server.json<Run>('POST', '/runs', body);
    const path = `/threads/${run.thread_id}/runs/${run.run_id}`;
    expect(await server.json('GET', path)).toMatchObject({ status: 'pending' });
    const stream = server.send('GET', `/runs/${run.run_id}/stream`);
    await server.work(run.run_id, { status: 'succeeded' }, [metadata(run.run_id), values(1)]);
    expect((await eventsOf(await stream)).map((one) => one.event)).toEqual(['metadata', 'values']);
  });

  it('are taken by the batch, all or none', async () => {
    const runs = await server.json<Run[]>('POST', '/runs/batch', [body, body]);
    expect(new Set(runs.map((run) => run.thread_id)).size).toBe(2);
    expect(await status('POST', '/runs/batch', [body, { ...body, assistant_id: 'nobody' }])).toBe(404);
    expect(await status('POST', '/runs/batch', [])).toBe(422);
  });
});

describe('a stream', () => {
  it('gives the events of the modes asked for, with ids, and ends', async () => {
    const response = await server.send('POST', '/threads/t1/runs/stream', {
      body: { ...body, stream_mode: 'values' },
    });
    const runId = runOf(response);
    expect(response.headers.get('Location')).toBe(`/threads/t1/runs/${runId}/stream`);
    expect(response.headers.get('Content-Type')).toContain('text/event-stream');
    await server.work(runId, { status: 'succeeded' }, [
      metadata(runId),
      values(1),
      { name: 'updates', data: '{}' },
    ]);
    const events = await eventsOf(response);
    expect(events).toEqual([
      { id: expect.stringMatching(/^1-\d+$/), event: 'metadata', data: { run_id: runId, attempt: 1 } },
      { id: expect.stringMatching(/^2-\d+$/), event: 'values', data: { x: 1 } },
    ]);
    const again = await server.send(
      'GET',
      `/threads/t1/runs/${runId}/stream?stream_mode=updates&stream_mode=custom`,
    );
    expect((await eventsOf(again)).map((one) => one.event)).toEqual(['metadata', 'updates']);
  });

  it('goes on after the last id the client saw, and refuses one that is none', async () => {
    const { run_id } = await create();
    const path = `/threads/t1/runs/${run_id}/stream`;
    await server.work(run_id, { status: 'succeeded' }, [metadata(run_id), values(1), values(2)]);
    const all = await eventsOf(await server.send('GET', path, { headers: { 'Last-Event-ID': '-1' } }));
    for (const [i, { id }] of all.entries()) {
      const headers = { 'Last-Event-ID': id ?? '' };
      expect(await eventsOf(await server.send('GET', path, { headers }))).toEqual(all.slice(i + 1));
    }
    const headers = { 'Last-Event-ID': 'nonsense' };
    expect((await server.send('GET', path, { headers })).status).toBe(422);
    expect(await status('GET', `${path}?stream_mode=nonsense`)).toBe(422);
  });

  it('says that there is a gap, and gives the values as they are, when the id is of a lost stream', async () => {
    const { run_id } = await create();
    await server.putState('t1', { id: 'c1', values: { x: 'now' } });
    await server.work(run_id, { status: 'succeeded', checkpoint: 'c1' }, [metadata(run_id), values(1)]);
    const headers = { 'Last-Event-ID': '7-12345' };
    const events = await eventsOf(await server.send('GET', `/threads/t1/runs/${run_id}/stream`, { headers }));
    expect(events.map(({ event, data }) => [event, data])).toEqual([
      ['gap', { after: '7-12345', next: 1 }],
      ['values', { x: 'now' }],
      ['metadata', { run_id, attempt: 1 }],
      ['values', { x: 1 }],
    ]);
  });

  it('tells why the run failed', async () => {
    const { run_id } = await create();
    await server.work(run_id, {
      status: 'failed',
      error: { code: 'graph_error', message: 'no', name: 'TypeError' },
    });
    const events = await eventsOf(await server.send('GET', `/threads/t1/runs/${run_id}/stream`));
    expect(events).toMatchObject([{ event: 'error', data: { error: 'TypeError', message: 'no' } }]);
  });

  it('in the older messages mode takes up its messages where the client was', async () => {
    const { run_id } = await create({ stream_mode: ['messages'] });
    const part = (content: string) => ({
      name: 'messages',
      data: JSON.stringify([{ type: 'ai', id: 'm', content, tool_call_chunks: [] }, { langgraph_step: 1 }]),
    });
    const parts = [metadata(run_id), part('a'), part('b'), part('c')];
    await server.work(run_id, { status: 'succeeded' }, parts);
    const path = `/threads/t1/runs/${run_id}/stream`;
    const all = await eventsOf(await server.send('GET', path));
    expect(all.map(({ event, data }) => [event, Array.isArray(data) ? data[0].content : null])).toEqual([
      ['metadata', null],
      ['messages/metadata', null],
      ['messages/partial', 'a'],
      ['messages/partial', 'ab'],
      ['messages/partial', 'abc'],
      ['messages/complete', 'abc'],
    ]);
    const seen = all.find((one) => one.event === 'messages/partial');
    const headers = { 'Last-Event-ID': seen?.id ?? '' };
    expect(await eventsOf(await server.send('GET', path, { headers }))).toEqual(all.slice(3));
  });
});

describe('waiting for a run', () => {
  const jsonOf = async (response: Response) => JSON.parse(await response.text());

  it('answers with the values at its end', async () => {
    const response = await server.send('POST', '/threads/t1/runs/wait', { body });
    expect(response.status).toBe(200);
    const runId = runOf(response);
    await server.putState('t1', { id: 'c1', values: { x: 1 } });
    await server.work(runId, { status: 'succeeded', checkpoint: 'c1' });
    await server.putState('t1', { id: 'c2', parent: 'c1', values: { x: 'of a later run' } });
    expect(await jsonOf(response)).toEqual({ x: 1 });
    expect(await jsonOf(await server.send('GET', `/threads/t1/runs/${runId}/join`))).toEqual({ x: 1 });
  });

  it('answers with what it asks, or an empty list at a breakpoint', async () => {
    const id = '0123456789abcdef0123456789abcdef';
    await server.putState('t1', { id: 'c1', values: { x: 1 } });
    const question = {
      id: 'q',
      kind: 'interrupt' as const,
      node: 'n',
      interruptId: id,
      value: { ask: 'sure?' },
    };
    const first = await server.send('POST', '/threads/t1/runs/wait', { body });
    await server.work(runOf(first), { status: 'interrupted', checkpoint: 'c1', questions: [question] });
    expect(await jsonOf(first)).toEqual({ x: 1, __interrupt__: [{ id, value: { ask: 'sure?' } }] });
    expect(await server.json('GET', '/threads/t1')).toMatchObject({ status: 'interrupted' });

    const answer = { assistant_id: 'agent', command: { resume: { [id]: 'yes' } } };
    const late = await server.json('POST', '/threads/t1/runs', { ...answer, after_seconds: 60 });
    expect(late).toMatchObject({ status: 422, field: 'after_seconds' });
    const second = await server.send('POST', '/threads/t1/runs/wait', { body: answer });
    const stored = await server.services.store.read.run('t', runOf(second));
    expect(stored?.request).toMatchObject({ answers: { q: 'yes' }, resume: { [id]: 'yes' } });
    const breakpoint = { id: 'b', kind: 'breakpoint' as const, node: 'n' };
    await server.work(runOf(second), { status: 'interrupted', checkpoint: 'c1', questions: [breakpoint] });
    expect(await jsonOf(second)).toEqual({ x: 1, __interrupt__: [] });
    // The same answer again is for the question before, not for what is asked now.
    expect(await status('POST', '/threads/t1/runs', answer)).toBe(409);
  });

  it('answers with why it failed, and with an object in any case', async () => {
    const failed = await server.send('POST', '/runs/wait', { body });
    await server.work(runOf(failed), {
      status: 'failed',
      error: { code: 'model_error', message: 'no model' },
    });
    expect(await jsonOf(failed)).toEqual({ __error__: { error: 'model_error', message: 'no model' } });
    const cancelled = await server.send('POST', '/threads/t1/runs/wait', { body });
    expect(await status('POST', `/threads/t1/runs/${runOf(cancelled)}/cancel`)).toBe(202);
    expect(await jsonOf(cancelled)).toEqual({});
  });

  it('says that the run goes on when the server leaves', async () => {
    const response = await server.send('POST', '/threads/t1/runs/wait', { body });
    server.drain.abort();
    expect(await jsonOf(response)).toMatchObject({ __error__: { error: 'unavailable' } });
    expect(await server.json('GET', `/threads/t1/runs/${runOf(response)}`)).toMatchObject({
      status: 'pending',
    });
  });
});

describe('stopping a run', () => {
  it('ends one that waits, and asks one at work', async () => {
    const [first, second] = [await create(), await create()];
    const end = await server.begin(first.run_id, []);
    const path = `/threads/t1/runs/${first.run_id}/cancel`;
    expect(await status('POST', `${path}?action=nonsense`)).toBe(422);
    expect(await status('POST', path)).toBe(202);
    const waiting = status('POST', `${path}?wait=1&action=interrupt`);
    await end({ status: 'cancelled' });
    expect(await waiting).toBe(204);
    expect(await status('POST', '/runs/cancel', { thread_id: 't1', run_ids: [second.run_id] })).toBe(204);
    expect(await server.json('GET', '/threads/t1')).toMatchObject({ status: 'idle' });
    expect(await status('POST', path)).toBe(202);
  });

  /** Until the run has been asked to stop. */
  const stopped = (runId: string) => server.services.events.waitForEnd(runId, { timeoutMs: LONGEST_WAIT_MS });

  it('comes of a client that leaves, when it said so', async () => {
    const answers = [
      ['/threads/t1/runs/wait', { ...body, on_disconnect: 'cancel' }],
      ['/threads/t1/runs/stream', { ...body, on_disconnect: 'cancel' }],
    ] as const;
    for (const [path, more] of answers) {
      const response = await server.send('POST', path, { body: more });
      await response.body?.cancel();
      expect(await stopped(runOf(response))).toBe('cancelled');
    }
    for (const rest of ['join', 'stream']) {
      const { run_id } = await create();
      const response = await server.send('GET', `/threads/t1/runs/${run_id}/${rest}?cancel_on_disconnect=1`);
      await response.body?.cancel();
      expect(await stopped(run_id)).toBe('cancelled');
    }
  });

  it('does not come of a client that leaves otherwise, nor of a server that leaves or fails', async () => {
    const { events, store } = server.services;
    const cancel = vi.spyOn(store, 'cancel');
    const withCancel = { body: { ...body, on_disconnect: 'cancel' } };
    const left = await server.send('POST', '/threads/t1/runs/stream', { body });
    await left.body?.cancel();
    vi.spyOn(events, 'follow').mockImplementationOnce(async function* () {
      yield* [];
      throw new Error('Connection is closed.');
    });
    const failed = await server.send('POST', '/threads/t1/runs/stream', withCancel);
    await expect(failed.text()).rejects.toThrow();
    const cut = await server.send('POST', '/threads/t1/runs/stream', withCancel);
    const waiting = await server.send('POST', '/threads/t1/runs/wait', withCancel);
    server.drain.abort();
    await expect(cut.text()).rejects.toThrow();
    expect(await waiting.text()).toContain('unavailable');
    expect(cancel).not.toHaveBeenCalled();
  });
});
