import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type OpenAiServer, startOpenAiServer } from './openai-server.ts';
import { metric, startScene, stdioServer, type UpstreamScene } from './upstream-scene.ts';

/** MCP servers that go and come back, and workers that die while they call one. */

let scene: UpstreamScene;

beforeAll(async () => {
  scene = await startScene();
});

afterEach(() => scene.clear());
afterAll(() => scene.close());

const up = (server: string) => `millrace_mcp_upstream_up{server="${server}"}`;

it('starts without servers that are down, and offers their tools to the next run when they are there', async () => {
  const gone = await scene.upstream();
  const there = await scene.upstream();
  await gone.close();
  const worker = await scene.worker(
    { late: { url: gone.url }, broken: { command: '/no/such/program' }, docs: { url: there.url } },
    {},
    ['docs'],
  );
  await Promise.all(['late', 'broken'].map((name) => worker.logged(`the MCP server ${name} is down`)));
  expect(await Promise.all(['late', 'broken', 'docs'].map((name) => metric(worker, up(name))))).toEqual([
    0, 0, 1,
  ]);
  const query = 'call late__echo {"text": "late"}, call docs__echo {"text": "docs"}, 1+1';
  expect((await scene.ask(query)).answer).toBe('1+1 = 2. docs__echo: docs');

  await scene.upstream(gone.port);
  await worker.logged('the MCP server late is up');
  expect(await metric(worker, up('late'))).toBe(1);
  expect((await scene.ask(query)).answer).toBe('1+1 = 2. late__echo: late docs__echo: docs');
  expect(worker.log.filter((line) => line.includes('late is down'))).toHaveLength(1);
});

it('starts and leaves beside a server that says nothing', async () => {
  const silent = createServer((socket) => void socket.on('error', () => undefined).resume());
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = silent.address() as AddressInfo;
    const worker = await scene.worker({ silent: { url: `http://127.0.0.1:${port}/mcp` } }, {}, []);
    expect(await metric(worker, up('silent'))).toBe(0);
    expect((await scene.ask('1+1')).answer).toBe('1+1 = 2.');
    expect(await worker.end('SIGTERM')).toBe(0);
  } finally {
    await new Promise((resolve) => silent.close(resolve));
  }
});

describe('a server that dies', () => {
  let model: OpenAiServer | undefined;
  afterEach(() => model?.close());

  it('in the middle of a run, and comes back, is called again in that run', async () => {
    const docs = await scene.upstream();
    docs.hold();
    const call = { toolCalls: [{ name: 'docs__pay', args: { to: 'ann' } }] };
    let worker: Awaited<ReturnType<UpstreamScene['worker']>> | undefined;
    model = await startOpenAiServer(async (_, index) => {
      if (index === 0) return call;
      // It is away now, and the model reads so.
      if (index === 1) {
        await worker?.logged('the MCP server docs is down');
        return call;
      }
      if (index === 2) {
        await scene.upstream(docs.port);
        await worker?.logged('the MCP server docs is up', 2);
        return call;
      }
      return { reply: 'paid at last' };
    });
    worker = await scene.worker(
      { docs: { url: docs.url } },
      { MODEL: 'openai:test-model', MODEL_BASE_URL: model.baseUrl },
    );
    const asked = scene.ask('pay ann');
    await docs.called();
    await docs.close();
    expect(await asked).toMatchObject({ status: 'succeeded', answer: 'paid at last' });
    const results = model.requests.at(-1)?.body.messages?.filter(({ role }) => role === 'tool');
    expect(results?.map(({ content }) => content)).toEqual([
      expect.stringMatching(
        /server "docs" was lost while it was asked for "pay": .*It may have done its work/s,
      ),
      expect.stringMatching(/The MCP server "docs" is down \(.+\)\. Its tools cannot be called now\./s),
      'paid ann',
    ]);
  });

  it('as a child is started again', async () => {
    const worker = await scene.worker({ local: stdioServer });
    expect((await scene.ask('call local__pay {"to": "ann"}')).answer).toEqual(
      expect.stringContaining('server "local" was lost while it was asked for "pay"'),
    );
    await worker.logged('the MCP server local is up', 2);
    expect((await scene.ask('call local__echo {"text": "again"}')).answer).toBe('local__echo: again');
  });

  it('and forgets its sessions while nobody looks costs no call', async () => {
    const docs = await scene.upstream();
    await scene.worker({ docs: { url: docs.url } });
    await docs.close();
    await scene.upstream(docs.port);
    expect((await scene.ask('call docs__echo {"text": "x"}')).answer).toBe('docs__echo: x');
  });
});

it('offers what a server says it has now, from the next run on', async () => {
  const docs = await scene.upstream();
  await scene.worker({ docs: { url: docs.url } });
  const query = 'call docs__later, call docs__echo {"text": "x"}';
  expect((await scene.ask(query)).answer).toBe('docs__echo: x');
  for (const server of docs.servers) {
    server.registerTool('later', {}, () => ({ content: [{ type: 'text', text: 'now' }] }));
  }
  const isListed = async () => (await scene.ask(query)).answer === 'docs__later: now docs__echo: x';
  while (!(await isListed()));
});

describe('a call whose worker is killed', () => {
  it('is asked about when it must not be repeated', async () => {
    const docs = await scene.upstream();
    docs.hold();
    const worker = await scene.worker({ docs: { url: docs.url } });
    const asked = scene.ask('call docs__pay {"to": "ann"}');
    await docs.called();
    await worker.end('SIGKILL');
    await scene.worker({ docs: { url: docs.url } });
    const { status, questions, thread_id } = await asked;
    expect({ status, questions }).toMatchObject({
      status: 'interrupted',
      questions: [{ kind: 'unknown_effect', value: { tool: 'docs__pay' } }],
    });
    docs.release();
    const command = { resume: { action: 'skip', result: 'paid, receipt 17' } };
    expect((await scene.post({ thread_id, command })).answer).toBe('docs__pay: paid, receipt 17');
    expect(docs.calls).toHaveLength(1);
  });

  it.each([
    ['echo', {}],
    ['pay', { repeatable: ['pay'] }],
  ])('is made again with the same key when it may be: %s', async (tool, settings) => {
    const docs = await scene.upstream();
    docs.hold();
    const servers = { docs: { url: docs.url, ...settings } };
    const worker = await scene.worker(servers);
    const asked = scene.ask(`call docs__${tool} {"text": "done", "to": "done"}`);
    await docs.called();
    await worker.end('SIGKILL');
    await scene.worker(servers);
    await docs.called(2);
    docs.release();
    expect((await asked).answer).toEqual(expect.stringContaining('done'));
    const keys = docs.calls.map(({ meta }) => meta?.['millrace/idempotency-key']);
    expect(keys[0]).toEqual(expect.stringMatching(/^[\w-]{43}$/));
    expect(keys).toEqual([keys[0], keys[0]]);
  });
});

it.each(['SIGTERM', 'SIGKILL'] as const)('leaves no child behind on %s', async (signal) => {
  // Nobody can end one that ignores the end of its input, when the worker had no time to.
  const env: Record<string, string> = signal === 'SIGTERM' ? { STUBBORN: '1' } : {};
  const worker = await scene.worker({ local: { ...stdioServer, env } }, { LOG_LEVEL: 'debug' });
  const pids = worker.log.flatMap((line) => /"line":"pid (\d+) /.exec(line)?.[1] ?? []).map(Number);
  expect(pids.length).toBeGreaterThan(0);
  await worker.end(signal);
  while (pids.some(isAlive)) await sleep(50);
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
