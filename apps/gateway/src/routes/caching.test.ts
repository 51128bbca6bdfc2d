import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { catalogEntry, type TestGateway, testGateway } from '../gateway-testing.ts';

/** What clients may keep, on every face. */

let gateway: TestGateway;
const keys = { API_KEYS: 'ann:key-a,bob:key-b' };
const ann = { Authorization: 'Bearer key-a' };

beforeEach(async () => {
  gateway = await testGateway({ env: keys, graphs: [catalogEntry('agent')] });
});

afterEach(() => gateway.close());

const get = (path: string, headers: Record<string, string> = {}) =>
  gateway.send('GET', path, { headers: { ...ann, ...headers } });
const post = (path: string, body: unknown) =>
  gateway.send('POST', path, { headers: { ...ann, Prefer: 'wait=0' }, body });

async function ask(): Promise<{ run_id: string; thread_id: string }> {
  const response = await post('/message', { query: 'Hello' });
  return (await response.json()) as { run_id: string; thread_id: string };
}

const pathsOf = ({ run_id, thread_id }: { run_id: string; thread_id: string }) => [
  `/message/${run_id}`,
  `/threads/${thread_id}/runs/${run_id}`,
  `/threads/${thread_id}/runs/${run_id}/join`,
];

describe('an ended run', () => {
  it.each([0, 1, 2])('is kept by its caller for a minute, and then asked for: face %i', async (face) => {
    const run = await ask();
    await gateway.work(run.run_id, { status: 'succeeded', answer: 'Hi' });
    const path = pathsOf(run)[face] ?? '';
    const first = await get(path);
    expect(first.headers.get('Cache-Control')).toBe('private, max-age=60');
    expect(first.headers.get('Vary')).toContain('Authorization, X-Api-Key');
    const again = await get(path, { 'If-None-Match': first.headers.get('ETag') ?? '' });
    expect(again.status).toBe(304);
    expect(await again.text()).toBe('');
    expect(again.headers.get('Cache-Control')).toBe('private, max-age=60');
    expect(again.headers.get('ETag')).toBe(first.headers.get('ETag'));
    const other = await gateway.send('GET', path, {
      headers: { Authorization: 'Bearer key-b', 'If-None-Match': '*' },
    });
    expect(other.status).toBe(404);
    expect(other.headers.get('Cache-Control')).toBe('no-store');
  });

  it('is gone with its thread, whoever has its tag', async () => {
    const run = await ask();
    await gateway.work(run.run_id, { status: 'succeeded', answer: 'Hi' });
    const path = pathsOf(run)[1] ?? '';
    const tag = (await get(path)).headers.get('ETag') ?? '';
    expect((await gateway.send('DELETE', `/threads/${run.thread_id}`, { headers: ann })).status).toBe(204);
    expect((await get(path, { 'If-None-Match': tag })).status).toBe(404);
  });
});

describe('what may change', () => {
  it.each([
    ['queued', [200, 404]],
    // The short form shows what it asked, taken back or not.
    ['interrupted', [304, 404]],
  ] as const)('is asked for each time: a run that is %s', async (status, after) => {
    const run = await ask();
    if (status === 'interrupted') await gateway.work(run.run_id, { status, questions: [] });
    const paths = pathsOf(run).slice(0, 2);
    const before = await Promise.all(paths.map((path) => get(path)));
    expect(before.map(({ headers }) => headers.get('Cache-Control'))).toEqual(
      paths.map(() => 'private, no-cache'),
    );
    const again = () =>
      Promise.all(
        paths.map(async (path, i) => {
          const tag = before[i]?.headers.get('ETag') ?? '';
          return (await get(path, { 'If-None-Match': tag })).status;
        }),
      );
    expect(await again()).toEqual([304, 304]);
    await post(`${paths[1]}/cancel?action=rollback`, {});
    expect(await again()).toEqual(after);
  });

  it('is asked for each time: threads, states, history, what describes a graph', async () => {
    const { thread_id } = await ask();
    const paths = [
      `/threads/${thread_id}`,
      `/threads/${thread_id}/state`,
      `/threads/${thread_id}/history`,
      '/assistants/agent',
      '/assistants/agent/schemas',
      '/assistants/agent/graph',
    ];
    for (const path of paths) {
      const response = await get(path);
      expect([path, response.headers.get('Cache-Control')]).toEqual([path, 'private, no-cache']);
      const tag = { 'If-None-Match': response.headers.get('ETag') ?? '' };
      expect([path, (await get(path, tag)).status]).toEqual([path, 304]);
    }
  });

  it('is not kept at all where no tag tells it', async () => {
    const { thread_id } = await ask();
    const responses = await Promise.all([
      get(`/threads/${thread_id}/runs`),
      get('/dead-letters'),
      get('/info'),
      get('/nowhere'),
      post('/assistants/search', {}),
      post(`/threads/${thread_id}/state/checkpoint`, {}),
      post('/message', { query: 'Hello' }),
      gateway.send('GET', '/threads/x'),
      gateway.send('GET', '/readyz'),
    ]);
    expect(responses.map(({ headers }) => headers.get('Cache-Control'))).toEqual(
      responses.map(() => 'no-store'),
    );
  });
});
