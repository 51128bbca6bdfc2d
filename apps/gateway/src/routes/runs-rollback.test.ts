import { afterEach, beforeEach, expect, it } from 'vitest';
import { type AgentServer, agentServer } from './agent-server-testing.ts';

let server: AgentServer;
beforeEach(async () => {
  server = await agentServer();
  await server.json('POST', '/threads', { thread_id: 't1' });
});
afterEach(() => server.close());

const create = (more: object = {}) =>
  server.json<{ run_id: string }>('POST', '/threads/t1/runs', { assistant_id: 'agent', ...more });
const status = async (method: string, path: string, body?: unknown) =>
  (await server.send(method, path, { body })).status;
const turnOf = async (runId: string) => (await server.services.store.cancel(runId, 'rollback')).turn ?? '';

it('a rollback is waited for until the thread is as it was, and then the run is gone', async () => {
  const { run_id } = await create();
  const end = await server.begin(run_id, []);
  const path = `/threads/t1/runs/${run_id}`;
  expect(await status('POST', `${path}/cancel?action=rollback`)).toBe(202);
  expect(await server.json('GET', path)).toMatchObject({ status: 'running' });
  let answered = false;
  const waiting = status('POST', `${path}/cancel?action=rollback&wait=1`).finally(() => {
    answered = true;
  });
  const joined = server.json('GET', `${path}/join`);
  await end({ status: 'cancelled' });
  expect(await joined).toEqual({});
  expect(await server.json('GET', '/threads/t1')).toMatchObject({ status: 'busy' });
  expect(answered).toBe(false);
  await server.work(await turnOf(run_id), { status: 'succeeded' });
  expect(await waiting).toBe(204);
  expect(await status('GET', path)).toBe(404);
  expect(await server.json('GET', '/threads/t1/runs')).toEqual([]);
  expect(await server.json('GET', `${path}/join`)).toEqual({});
  expect(await status('POST', `${path}/cancel?action=rollback&wait=1`)).toBe(204);
  expect(await server.json('GET', '/threads/t1')).toMatchObject({ status: 'idle' });
});

it('several runs are rolled back at once', async () => {
  const runs = [await create(), await create(), await create()];
  const run_ids = runs.map((run) => run.run_id);
  const end = await server.begin(run_ids[0] ?? '', []);
  const body = { thread_id: 't1', run_ids };
  expect(await status('POST', '/runs/cancel?action=rollback', body)).toBe(204);
  expect(await server.json('GET', '/threads/t1/runs')).toMatchObject([{ run_id: run_ids[0] }]);
  await end({ status: 'cancelled' });
  await server.work(await turnOf(run_ids[0] ?? ''), { status: 'succeeded' });
  expect(await server.json('GET', '/threads/t1')).toMatchObject({ status: 'idle' });
});
