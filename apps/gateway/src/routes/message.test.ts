import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { catalogEntry, type TestGateway, testGateway } from '../gateway-testing.ts';
import type { MessageView } from './message-wire.ts';

let gateway: TestGateway;

beforeEach(async () => {
  gateway = await testGateway({
    graphs: [catalogEntry('agent'), catalogEntry('report', { conversational: false })],
  });
});
afterEach(() => gateway.close());

const now = { Prefer: 'wait=0' };
const json = async (response: Response) => (await response.json()) as MessageView;
const problemOf = async (response: Response) => {
  expect(response.headers.get('Content-Type')).toContain('application/problem+json');
  return (await response.json()) as Record<string, unknown>;
};

async function post(body: unknown, headers: Record<string, string> = now): Promise<MessageView> {
  const response = await gateway.send('POST', '/message', { body, headers });
  if (response.status >= 300) throw new Error(await response.text());
  return json(response);
}

/** Plays the worker of the next run as soon as the queue has it. */
async function workNext(answer: string): Promise<void> {
  for (;;) {
    const { jobs } = await queued();
    const [job] = jobs;
    if (job) return gateway.work(job.slice(0, 36), { status: 'succeeded', answer });
    await new Promise(setImmediate);
  }
}

async function queued(): Promise<{ jobs: string[] }> {
  const { redis, keys } = gateway.test;
  return { jobs: await redis.lrange(`${keys.queuePrefix()}:default:wait`, 0, -1) };
}

describe('POST /message', () => {
  it('waits for the answer', async () => {
    const response = gateway.send('POST', '/message', { body: { query: 'hi' } });
    await workNext('hello');
    const { status } = await response;
    const body = await json(await response);
    expect(status).toBe(200);
    expect(body).toEqual({
      thread_id: expect.any(String),
      run_id: expect.any(String),
      status: 'succeeded',
      answer: 'hello',
    });
  });

  it('answers 202 and says where to look when the wait is over', async () => {
    const response = await gateway.send('POST', '/message', { body: { query: 'hi' }, headers: now });
    expect(response.status).toBe(202);
    const body = await json(response);
    expect(body).toMatchObject({ status: 'queued' });
    expect(response.headers.get('Location')).toBe(`/message/${body.run_id}`);
    expect(response.headers.get('Retry-After')).toBe('1');
    expect(response.headers.get('Preference-Applied')).toBe('wait=0');
  });

  it('gives each graph the input it takes, streams tool use, and keeps the thread', async () => {
    const chat = await post({ query: 'hi', thread_id: 'my-thread' });
    expect(chat.thread_id).toBe('my-thread');
    const run = await gateway.services.store.read.run('default', chat.run_id);
    expect(run?.request).toMatchObject({
      graph: 'agent',
      input: { messages: [{ role: 'user', content: 'hi' }] },
      streamModes: ['messages-tuple', 'updates'],
    });
    const report = await post({ query: 'hi', graph: 'report', thread_id: 'r' });
    const again = await post({ query: 'more', thread_id: 'r' });
    for (const one of [report, again]) {
      expect((await gateway.services.store.read.run('default', one.run_id))?.request.graph).toBe('report');
    }
    expect(await gateway.services.store.read.thread('default', chat.thread_id)).toMatchObject({
      throwaway: false,
    });
  });

  it('takes JSON whatever the content type says', async () => {
    const headers = { ...now, 'Content-Type': 'application/x-www-form-urlencoded' };
    expect((await post('{"query": "hi"}', headers)).status).toBe('queued');
  });

  it('counts once for one Idempotency-Key', async () => {
    const headers = { ...now, 'Idempotency-Key': 'k' };
    const first = await post({ query: 'hi' }, headers);
    expect(await post({ query: 'hi' }, headers)).toEqual(first);
    const other = await gateway.send('POST', '/message', { body: { query: 'ho' }, headers });
    expect(other.status).toBe(422);
    expect(await problemOf(other)).toMatchObject({ code: 'idempotency_conflict' });
  });

  it('shows questions, and takes their answer once', async () => {
    const asked = await post({ query: 'delete it', thread_id: 't' });
    const question = { id: 'q', kind: 'interrupt' as const, node: 'ask', interruptId: 'i', value: 'sure?' };
    await gateway.work(asked.run_id, { status: 'interrupted', questions: [question] });
    const parked = await json(await gateway.send('GET', `/message/${asked.run_id}`));
    expect(parked).toMatchObject({
      status: 'interrupted',
      questions: [{ id: 'q', kind: 'interrupt', node: 'ask', interrupt_id: 'i', value: 'sure?' }],
    });
    const answered = await post({ thread_id: 't', command: { resume: 'yes' } });
    expect((await gateway.services.store.read.run('default', answered.run_id))?.request).toMatchObject({
      answers: { q: 'yes' },
      resume: { i: 'yes' },
    });
    const late = await gateway.send('POST', '/message', {
      body: { thread_id: 't', command: { resume: 'no' } },
    });
    expect(late.status).toBe(409);
    expect(await problemOf(late)).toMatchObject({ code: 'stale' });
  });

  it('says how a failed run failed', async () => {
    const { run_id } = await post({ query: 'hi' });
    await gateway.work(run_id, {
      status: 'failed',
      error: { code: 'graph_error', message: 'boom', name: 'Error' },
    });
    const response = await gateway.send('GET', `/message/${run_id}`);
    expect(response.status).toBe(200);
    expect(await json(response)).toMatchObject({
      status: 'failed',
      error: { code: 'graph_error', message: 'boom' },
    });
  });

  it('does not take back what it has accepted when Redis goes away meanwhile', async () => {
    gateway.services.events.waitForEnd = async () => {
      throw new Error('Connection is closed.');
    };
    const response = await gateway.send('POST', '/message', { body: { query: 'hi' } });
    expect(response.status).toBe(202);
    const { run_id } = await json(response);
    expect(await gateway.services.store.read.run('default', run_id)).toMatchObject({ status: 'queued' });
  });

  it('answers what waits when the gateway leaves', async () => {
    const response = gateway.send('POST', '/message', { body: { query: 'hi' } });
    while ((await queued()).jobs.length === 0) await new Promise(setImmediate);
    gateway.drain.abort();
    expect((await response).status).toBe(202);
  });
});

describe('bad input', () => {
  const invalid: [string, unknown, number, string, string | undefined][] = [
    ['no query', {}, 422, 'invalid_request', 'query'],
    ['no body', '', 422, 'invalid_request', 'query'],
    ['a query of spaces', { query: '  ' }, 422, 'invalid_request', 'query'],
    ['a query that is a number', { query: 7 }, 422, 'invalid_request', 'query'],
    ['a query that is null', { query: null }, 422, 'invalid_request', 'query'],
    ['a thread id that is an object', { query: 'x', thread_id: {} }, 422, 'invalid_request', 'thread_id'],
    ['a thread id with a slash', { query: 'x', thread_id: '../x' }, 422, 'invalid_request', 'thread_id'],
    [
      'a thread id with half a character',
      { query: 'x', thread_id: '\ud800' },
      422,
      'invalid_request',
      'thread_id',
    ],
    ['a misspelt field', { query: 'x', threadId: 'y' }, 422, 'invalid_request', 'threadId'],
    ['an array', [], 422, 'invalid_request', undefined],
    ['a string', '"hi"', 422, 'invalid_request', undefined],
    ['half a document', '{"query": ', 400, 'malformed_body', undefined],
    ['a form', 'query=hi', 400, 'malformed_body', undefined],
    ['invalid UTF-8', new Uint8Array([0x22, 0xff, 0x22]), 400, 'malformed_body', undefined],
    ['an abyss', '['.repeat(100_000) + ']'.repeat(100_000), 422, 'invalid_request', undefined],
    ['an unknown graph', { query: 'x', graph: 'nope' }, 404, 'unknown_graph', 'graph'],
    ['an answer to no thread', { command: { resume: 1 } }, 422, 'invalid_request', 'thread_id'],
    [
      'an answer to an unknown thread',
      { thread_id: 'x', command: { resume: 1 } },
      404,
      'not_found',
      'thread_id',
    ],
    [
      'a message that is an answer',
      { query: 'x', thread_id: 'x', command: { resume: 1 } },
      422,
      'invalid_request',
      'query',
    ],
  ];
  it.each(invalid)('refuses %s', async (_, body, status, code, field) => {
    const response = await gateway.send('POST', '/message', { body });
    expect(response.status).toBe(status);
    const problem = await problemOf(response);
    expect(problem).toMatchObject({
      type: `urn:millrace:problem:${code}`,
      title: expect.any(String),
      status,
      code,
      detail: expect.any(String),
      request_id: response.headers.get('X-Request-Id'),
    });
    expect(problem.field).toBe(field);
  });

  it('names every fault at once', async () => {
    const response = await gateway.send('POST', '/message', { body: { query: 7, thread_id: 8, what: 9 } });
    const { detail } = await problemOf(response);
    expect(detail).toContain('query must be a string, not a number');
    expect(detail).toContain('thread_id must be a string');
    expect(detail).toContain('what: not known here');
  });

  it.each(['wait=soon', 'wait=-1', 'wait', 'wait=1.5', 'respond-async, wait='])(
    'refuses Prefer: %s',
    async (prefer) => {
      const response = await gateway.send('POST', '/message', {
        body: { query: 'x' },
        headers: { Prefer: prefer },
      });
      expect(response.status).toBe(422);
      expect(await problemOf(response)).toMatchObject({ code: 'invalid_request', field: 'Prefer' });
      expect((await queued()).jobs).toEqual([]);
    },
  );

  it('caps a long wait, and passes over preferences it does not know', async () => {
    const { run_id } = await post({ query: 'x' }, { Prefer: 'handling=lenient, respond-async' });
    await gateway.work(run_id, { status: 'succeeded', answer: 'a' });
    const response = await gateway.send('GET', `/message/${run_id}`, { headers: { Prefer: 'wait=999999' } });
    expect(response.headers.get('Preference-Applied')).toBe('wait=60');
  });

  it('refuses two megabytes, with a length or without', async () => {
    const text = JSON.stringify({ query: 'x'.repeat(2_000_000) });
    const bytes = new TextEncoder().encode(text);
    const sent = gateway.send('POST', '/message', {
      body: text,
      headers: { 'Content-Length': String(bytes.length) },
    });
    const chunked = gateway.send('POST', '/message', {
      body: text,
      headers: { 'Transfer-Encoding': 'chunked' },
    });
    for (const response of [await sent, await chunked]) {
      expect(response.status).toBe(413);
      expect(await problemOf(response)).toMatchObject({ code: 'body_too_large' });
    }
  });

  it.each(['nonsense', '0190a6f0-0000-7000-8000-000000000000', '%00'])('knows no run %s', async (id) => {
    for (const method of ['GET', 'DELETE']) {
      const response = await gateway.send(method, `/message/${id}`);
      expect(response.status).toBe(404);
      expect(await problemOf(response)).toMatchObject({ code: 'not_found' });
    }
    const stream = await gateway.send('GET', `/message/${id}`, { headers: { Accept: 'text/event-stream' } });
    expect(stream.status).toBe(404);
  });

  it('says that no worker has ever been here', async () => {
    const empty = await testGateway({ graphs: [] });
    const response = await empty.send('POST', '/message', { body: { query: 'x' } });
    expect(response.status).toBe(503);
    expect(response.headers.get('Retry-After')).toBe('2');
    expect(await problemOf(response)).toMatchObject({ code: 'no_catalog' });
    await empty.close();
  });
});

describe('GET /message/:run_id', () => {
  it('has nothing new to say to who knows it', async () => {
    const { run_id } = await post({ query: 'hi' });
    const waiting = await gateway.send('GET', `/message/${run_id}`);
    expect(waiting.headers.get('Retry-After')).toBe('1');
    const headers = { 'If-None-Match': waiting.headers.get('ETag') ?? '' };
    expect((await gateway.send('GET', `/message/${run_id}`, { headers })).status).toBe(304);
    await gateway.work(run_id, { status: 'succeeded', answer: 'a' });
    const done = await gateway.send('GET', `/message/${run_id}`, { headers });
    expect(done.status).toBe(200);
    expect(await json(done)).toMatchObject({ answer: 'a' });
  });

  it('waits when asked to', async () => {
    const { run_id } = await post({ query: 'hi' });
    const response = gateway.send('GET', `/message/${run_id}?wait=30`);
    await gateway.work(run_id, { status: 'succeeded', answer: 'a' });
    expect(await json(await response)).toMatchObject({ answer: 'a' });
    expect((await gateway.send('GET', `/message/${run_id}?wait=x`)).status).toBe(422);
  });

  it('is cancelled by DELETE, once and again', async () => {
    const { run_id } = await post({ query: 'hi' });
    const first = await gateway.send('DELETE', `/message/${run_id}`);
    expect(first.status).toBe(200);
    expect(await json(first)).toMatchObject({ status: 'cancelled' });
    expect((await gateway.send('DELETE', `/message/${run_id}`)).status).toBe(200);
  });

  it('says that a run at work is yet to stop', async () => {
    const { run_id } = await post({ query: 'hi' });
    await gateway.begin(run_id, []);
    expect((await gateway.send('DELETE', `/message/${run_id}`)).status).toBe(202);
  });
});

describe('streaming', () => {
  const events = (response: Response) =>
    response.text().then((text) =>
      text
        .split('\n\n')
        .filter((block) => block !== '')
        .map((block) =>
          Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/s).slice(0, 2))),
        ),
    );
  const Accept = 'text/event-stream';

  it('gives every event to the end, and later ones to who has seen the first', async () => {
    const { run_id } = await post({ query: 'hi' });
    const live = await gateway.send('GET', `/message/${run_id}`, { headers: { Accept } });
    expect(live.headers.get('Cache-Control')).toBe('no-store');
    expect(live.headers.get('X-Accel-Buffering')).toBe('no');
    const read = events(live);
    await gateway.work(run_id, { status: 'succeeded', answer: 'a' }, [
      { name: 'metadata', data: '{"attempt":1}' },
      { name: 'updates', data: '{"n":1}' },
    ]);
    const seen = await read;
    expect(seen.map((one) => one.event)).toEqual(['metadata', 'updates', 'end']);
    expect(seen[0]).toMatchObject({ retry: '1000', data: '{"attempt":1}' });
    const headers = { Accept, 'Last-Event-ID': String(seen[0]?.id) };
    const rest = await events(await gateway.send('GET', `/message/${run_id}`, { headers }));
    expect(rest.map((one) => one.id)).toEqual(seen.slice(1).map((one) => one.id));
  });

  it('streams the answer to a POST, and says where it could be taken up again', async () => {
    const response = await gateway.send('POST', '/message', { body: { query: 'hi' }, headers: { Accept } });
    const location = response.headers.get('Location') ?? '';
    const read = events(response);
    await gateway.work(location.slice('/message/'.length), { status: 'succeeded', answer: 'a' });
    expect((await read).map((one) => one.event)).toEqual(['end']);
  });

  it('gives a gap without an id when what follows cannot be given', async () => {
    const { run_id } = await post({ query: 'hi' });
    await gateway.work(run_id, { status: 'succeeded' }, [{ name: 'updates', data: '1' }]);
    const headers = { Accept, 'Last-Event-ID': '1-42' };
    const seen = await events(await gateway.send('GET', `/message/${run_id}`, { headers }));
    expect(seen.map((one) => one.event)).toEqual(['gap', 'updates', 'end']);
    expect(seen[0]).not.toHaveProperty('id');
  });

  it('refuses an id that is none of its own', async () => {
    const { run_id } = await post({ query: 'hi' });
    const headers = { Accept, 'Last-Event-ID': 'what' };
    const response = await gateway.send('GET', `/message/${run_id}`, { headers });
    expect(response.status).toBe(422);
    expect(await problemOf(response)).toMatchObject({ field: 'Last-Event-ID' });
  });

  it('breaks off when the gateway leaves, and does not end', async () => {
    const { run_id } = await post({ query: 'hi' });
    const response = await gateway.send('GET', `/message/${run_id}`, { headers: { Accept } });
    gateway.drain.abort();
    await expect(response.text()).rejects.toThrow('broken off');
  });
});
