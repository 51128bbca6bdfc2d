import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AGENT_ID, type AgentServer, agentServer } from './agent-server-testing.ts';

let server: AgentServer;
beforeEach(async () => {
  server = await agentServer();
});
afterEach(() => server.close());

const status = async (method: string, path: string, body?: unknown) =>
  (await server.send(method, path, { body })).status;

describe('threads', () => {
  it('are made, shown, changed and deleted', async () => {
    const made = await server.json('POST', '/threads', { metadata: { topic: 'tea' } });
    expect(made).toMatchObject({ status: 'idle', values: null, interrupts: {}, metadata: { topic: 'tea' } });
    expect(new Date(String(made.created_at)).toISOString()).toBe(made.created_at);
    const path = `/threads/${made.thread_id}`;
    expect(await server.json('GET', path)).toEqual(made);
    expect(await server.json('PATCH', path, { metadata: { cups: 2 } })).toMatchObject({
      metadata: { topic: 'tea', cups: 2 },
    });
    expect(await status('DELETE', path)).toBe(204);
    expect(await status('GET', path)).toBe(404);
    expect(await status('DELETE', path)).toBe(404);
    expect(await status('GET', `${path}/state`)).toBe(404);
  });

  it('that exist are refused or given back, as the caller says', async () => {
    const body = { thread_id: 'any text, “quoted”' };
    expect(await status('POST', '/threads', body)).toBe(200);
    expect(await status('POST', '/threads', body)).toBe(409);
    expect(await server.json('POST', '/threads', { ...body, if_exists: 'do_nothing' })).toMatchObject(body);
    expect(await server.json('GET', `/threads/${encodeURIComponent(body.thread_id)}`)).toMatchObject(body);
  });

  it('are made once for one idempotency key', async () => {
    const headers = { 'Idempotency-Key': 'k' };
    const ids = await Promise.all(
      [1, 2, 3].map(async () => {
        const response = await server.send('POST', '/threads', { headers });
        return ((await response.json()) as { thread_id: string }).thread_id;
      }),
    );
    expect(new Set(ids).size).toBe(1);
  });

  it('of another tenant are not there', async () => {
    await server.json('POST', '/threads', { thread_id: 'mine' });
    await server.putState('mine', { id: 'c1', values: { x: 1 } });
    const headers = { 'X-Tenant': 'other' };
    const routes: [string, string][] = [
      ['GET', ''],
      ['PATCH', ''],
      ['DELETE', ''],
      ['GET', '/state'],
      ['GET', '/state/c1'],
      ['POST', '/state/checkpoint'],
      ['POST', '/state'],
      ['GET', '/history'],
      ['POST', '/history'],
      ['GET', '/runs'],
    ];
    for (const [method, rest] of routes) {
      const response = await server.send(method, `/threads/mine${rest}`, { headers });
      expect(response.status, `${method} ${rest}`).toBe(404);
    }
  });

  it('take no wrong type, and say which field', async () => {
    const wrong: [string, string, unknown, string][] = [
      ['POST', '/threads', { thread_id: 7 }, 'thread_id'],
      ['POST', '/threads', { thread_id: '' }, 'thread_id'],
      ['POST', '/threads', { thread_id: 'x'.repeat(256) }, 'thread_id'],
      ['POST', '/threads', { metadata: [] }, 'metadata'],
      ['POST', '/threads', { if_exists: 'maybe' }, 'if_exists'],
      ['GET', `/threads/${'x'.repeat(256)}`, undefined, 'thread_id'],
      ['GET', '/threads/x/history?limit=0', undefined, 'limit'],
      ['GET', '/threads/x/history?limit=ten', undefined, 'limit'],
      ['POST', '/threads/x/history', { limit: '10' }, 'limit'],
      ['POST', '/threads/x/state', { values: 'x' }, 'values'],
      ['GET', '/threads/x/state?subgraphs=perhaps', undefined, 'subgraphs'],
    ];
    for (const [method, path, body, field] of wrong) {
      const response = await server.send(method, path, { body });
      expect(response.status, `${method} ${path}`).toBe(422);
      expect(await response.json()).toMatchObject({ code: 'invalid_request', field });
    }
    expect(await status('POST', '/threads', '{')).toBe(400);
    expect(await status('POST', '/threads', '{"thread_id":"\\ud800"}')).toBe(422);
  });

  it('are not searched, copied or timed, and say so', async () => {
    for (const [path, body] of [
      ['/threads/search', {}],
      ['/threads/count', {}],
      ['/threads/x/copy', {}],
      ['/threads', { ttl: 60 }],
      ['/threads', { supersteps: [{}] }],
    ] as const) {
      expect(await server.json('POST', path, body)).toMatchObject({ status: 422, code: 'unsupported' });
    }
  });
});

describe('the state of a thread', () => {
  const ask = { id: 'i1', value: 'sure?' };

  async function parked() {
    await server.json('POST', '/threads', { thread_id: 's' });
    await server.putState('s', { id: 'c1', values: { x: 1 } });
    await server.putState('s', {
      id: 'c2',
      parent: 'c1',
      values: { x: 2 },
      tasks: [
        { id: 't1', name: 'ask' },
        { id: 't2', name: 'other' },
      ],
    });
    const config = { configurable: { thread_id: 's', checkpoint_ns: '', checkpoint_id: 'c2' } };
    await server.saver.putWrites(config, [['__interrupt__', [ask]]], 't1');
    await server.saver.putWrites(config, [['x', 3]], 't2');
  }

  it('is empty before there is one', async () => {
    await server.json('POST', '/threads', { thread_id: 's' });
    expect(await server.json('GET', '/threads/s/state')).toMatchObject({
      values: {},
      next: [],
      tasks: [],
      checkpoint: null,
      created_at: null,
    });
    expect(await server.json('GET', '/threads/s/history')).toEqual([]);
  });

  it('tells values, what comes next, and what is asked', async () => {
    await parked();
    const state = await server.json('GET', '/threads/s/state');
    const at = { thread_id: 's', checkpoint_ns: '', checkpoint_map: null };
    expect(state).toMatchObject({
      values: { x: 2 },
      next: ['ask'],
      tasks: [
        { id: 't1', name: 'ask', interrupts: [ask], error: null, state: null, checkpoint: null },
        { id: 't2', name: 'other', interrupts: [] },
      ],
      interrupts: [ask],
      checkpoint: { ...at, checkpoint_id: 'c2' },
      parent_checkpoint: { ...at, checkpoint_id: 'c1' },
      metadata: { source: 'loop' },
    });
    expect(await server.json('GET', '/threads/s')).toMatchObject({
      values: { x: 2 },
      status: 'idle',
      interrupts: {},
    });
  });

  it('is given at a checkpoint, by id or as the client has it', async () => {
    await parked();
    const byId = await server.json('GET', '/threads/s/state/c1');
    expect(byId).toMatchObject({ values: { x: 1 }, parent_checkpoint: null });
    const { checkpoint } = byId;
    expect(await server.json('POST', '/threads/s/state/checkpoint', { checkpoint })).toEqual(byId);
    expect(await status('GET', '/threads/s/state/c9')).toBe(404);
  });

  it('holds those of sub-graphs at work when asked', async () => {
    await parked();
    await server.putState('s', { id: 'd1', ns: 'ask:t1', values: { inner: 1 } });
    const [task] = (await server.json<{ tasks: object[] }>('GET', '/threads/s/state?subgraphs=1')).tasks;
    expect(task).toMatchObject({
      checkpoint: { checkpoint_ns: 'ask:t1' },
      state: { values: { inner: 1 }, checkpoint: { checkpoint_ns: 'ask:t1', checkpoint_id: 'd1' } },
    });
    const history = { checkpoint: { checkpoint_ns: 'ask:t1' } };
    expect(await server.json('POST', '/threads/s/history', history)).toMatchObject([
      { values: { inner: 1 } },
    ]);
  });

  it('says when what only a graph knows is not known yet', async () => {
    await parked();
    const header = async (path: string) => (await server.send('GET', path)).headers.get('X-Millrace-State');
    expect(await header('/threads/s/state')).toBeNull();
    await server.putState('s', { id: 'c3', parent: 'c2', values: { x: 4 }, undescribed: true });
    expect(await header('/threads/s/state')).toBe('behind');
    expect(await header('/threads/s')).toBe('behind');
    expect(await header('/threads/s/history')).toBe('behind');
    expect(await server.json('GET', '/threads/s/state')).toMatchObject({ values: { x: 4 }, next: [] });
  });

  it('has a history, newest first, by page and by metadata', async () => {
    await server.json('POST', '/threads', { thread_id: 's' });
    for (const n of [1, 2, 3]) {
      const id = `c${n}`;
      await server.putState('s', {
        id,
        ...(n > 1 && { parent: `c${n - 1}` }),
        values: { n },
        metadata: { run_id: `r${n % 2}` },
      });
    }
    const ids = async (method: string, path: string, body?: unknown) =>
      (await server.json<{ checkpoint: { checkpoint_id: string } }[]>(method, path, body)).map(
        (state) => state.checkpoint.checkpoint_id,
      );
    expect(await ids('GET', '/threads/s/history')).toEqual(['c3', 'c2', 'c1']);
    expect(await ids('GET', '/threads/s/history?limit=1&before=c3')).toEqual(['c2']);
    expect(
      await ids('POST', '/threads/s/history', { before: { configurable: { checkpoint_id: 'c2' } } }),
    ).toEqual(['c1']);
    expect(await ids('POST', '/threads/s/history', { before: { checkpoint_id: 'c2' } })).toEqual(['c1']);
    expect(await ids('POST', '/threads/s/history', { metadata: { run_id: 'r1' } })).toEqual(['c3', 'c1']);
    expect(await ids('POST', '/threads/s/history', { checkpoint: { checkpoint_id: 'c2' } })).toEqual(['c2']);
  });
});

describe('an edit of the state', () => {
  async function edited(body: object, end: Parameters<AgentServer['work']>[1]) {
    const submitted = nextRun();
    const answer = server.send('POST', '/threads/e/state', { body });
    const runId = await submitted;
    const run = await server.services.store.read.run('t', runId);
    await server.work(runId, end);
    return { response: await answer, request: run?.request };
  }

  /** The id of the next run whose bell is rung; a state edit is not listed among its thread's runs. */
  function nextRun(): Promise<string> {
    const { doorbell } = server.services;
    return new Promise((resolve) => {
      const bell = vi.spyOn(doorbell, 'ring').mockImplementation(async (jobs) => {
        bell.mockRestore();
        await doorbell.ring(jobs);
        resolve(jobs[0]?.id.slice(0, 36) ?? '');
      });
    });
  }

  it('takes a turn on the thread and gives the new checkpoint', async () => {
    await server.json('POST', '/threads', { thread_id: 'e', metadata: { graph_id: 'agent' } });
    await server.putState('e', { id: 'c0' });
    const { response, request } = await edited(
      { values: { x: 5 }, as_node: 'n', checkpoint: { checkpoint_id: 'c0', checkpoint_ns: '' } },
      { status: 'succeeded', checkpoint: 'c7' },
    );
    const checkpoint = { thread_id: 'e', checkpoint_ns: '', checkpoint_id: 'c7', checkpoint_map: null };
    expect(await response.json()).toMatchObject({ checkpoint, configurable: checkpoint });
    expect(request).toMatchObject({
      kind: 'update_state',
      graph: 'agent',
      assistantId: AGENT_ID,
      input: { x: 5 },
      asNode: 'n',
      checkpointId: 'c0',
    });
  });

  it('knows the graph by what ran before, also after another edit', async () => {
    await server.json('POST', '/threads', { thread_id: 'e' });
    const { run_id } = await server.json('POST', '/threads/e/runs', { assistant_id: 'agent', input: {} });
    await server.work(String(run_id), { status: 'succeeded' });
    for (const checkpoint of ['c1', 'c2']) {
      const { response } = await edited({ values: { x: 1 } }, { status: 'succeeded', checkpoint });
      expect(await response.json()).toMatchObject({ checkpoint: { checkpoint_id: checkpoint } });
    }
  });

  it('starts from no checkpoint that is not there', async () => {
    await server.json('POST', '/threads', { thread_id: 'e', metadata: { graph_id: 'agent' } });
    const edit = { values: {}, checkpoint_id: 'gone' };
    expect(await server.json('POST', '/threads/e/state', edit)).toMatchObject({
      status: 404,
      field: 'checkpoint_id',
    });
  });

  it('tells why the graph does not take it', async () => {
    await server.json('POST', '/threads', { thread_id: 'e', metadata: { graph_id: 'agent' } });
    const { response } = await edited(
      { values: { nonsense: 1 } },
      { status: 'failed', error: { code: 'graph_error', message: 'There is no channel "nonsense".' } },
    );
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({
      field: 'values',
      detail: 'There is no channel "nonsense".',
    });
  });

  it('is refused while the thread is busy, and for a thread that no graph has written to', async () => {
    await server.json('POST', '/threads', { thread_id: 'e' });
    expect(await status('POST', '/threads/e/state', { values: {} })).toBe(422);
    await server.json('POST', '/threads/e/runs', { assistant_id: 'agent', input: {} });
    expect(await server.json('POST', '/threads/e/state', { values: {} })).toMatchObject({
      status: 409,
      code: 'thread_busy',
    });
  });
});
