import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findHaproxy } from '../../scripts/haproxy.ts';
import { haproxyCacheDir } from '../../scripts/paths.ts';
import { freePort } from '../../scripts/ports.ts';
import { runCommand } from '../../scripts/run-command.ts';
import { say } from '../../scripts/say.ts';
import { type AppProcess, startProcess } from '../../test/processes.ts';
import { Caller } from '../compose/check/caller.ts';
import { deployDir } from './kustomize.ts';

const file = join(deployDir, 'compose/haproxy.cfg');

/** A download, where the machine has no HAProxy. */
const FETCH_MS = 400_000;

let redis: TestRedis;
let gateways: AppProcess[];
let worker: AppProcess;
/** Why there is no load balancer here. */
let missing: string | undefined;
let haproxy: { file: string; env: NodeJS.ProcessEnv };
let url: string;
let stop = async () => {};

beforeAll(async () => {
  redis = await testRedis();
  const { env } = redis;
  const graphs = join(deployDir, 'compose/check/graphs/langgraph.json');
  [worker, ...gateways] = await Promise.all([
    startProcess('worker', { ...env, LANGGRAPH_CONFIG: graphs, WORKER_CONCURRENCY: '16' }),
    startProcess('gateway', env),
    startProcess('gateway', env),
  ]);
  const found = await findHaproxy({ cacheDir: haproxyCacheDir, env: process.env, log: say });
  if ('reason' in found) missing = `no HAProxy: ${found.reason}`;
  else {
    haproxy = found;
    await start();
  }
}, FETCH_MS);

afterAll(async () => {
  await stop();
  await Promise.all([worker, ...(gateways ?? [])].map((app) => app?.end('SIGTERM')));
  await redis?.close();
});

/** HAProxy with our file, in which the gateways of this test stand in the place of what Docker's DNS would name. */
async function start(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-haproxy-'));
  const port = await freePort();
  const servers = gateways.map(({ url }, number) => {
    const { host, port } = new URL(url);
    return `  server gateway-${number} ${host} port ${port}`;
  });
  const ours = readFileSync(file, 'utf8');
  const moved = ours
    .replace('bind :2024', `bind 127.0.0.1:${port}`)
    .replace(/^ *server-template .*$/m, servers.join('\n'));
  const config = join(dir, 'haproxy.cfg');
  writeFileSync(config, moved);
  const server = spawn(haproxy.file, ['-db', '-f', config], { env: haproxy.env, stdio: 'inherit' });
  const gone = once(server, 'exit');
  stop = async () => {
    server.kill('SIGKILL');
    await gone;
    rmSync(dir, { recursive: true, force: true });
  };
  url = `http://127.0.0.1:${port}`;
  const ready = () => fetch(`${url}/readyz`).then(({ ok }) => ok);
  while (!(await ready().catch(() => false))) if (server.exitCode !== null) throw new Error('HAProxy ended');
}

const open = () => new Caller({ url, key: 'any' });

describe('the load balancer', () => {
  beforeEach(({ skip }) => {
    if (missing !== undefined) skip(missing);
  });

  it('is a configuration that HAProxy has nothing to say about', async () => {
    const result = await runCommand(haproxy.file, ['-c', '-f', file], {
      timeoutMs: 20_000,
      env: haproxy.env,
    });
    expect(result.stderr).toBe('');
    expect(result.code).toBe(0);
  });

  it('passes events on as they come', async () => {
    expect(await open().seesEventsEarly()).toBe(true);
  });

  it('tells the gateway that a caller has gone', async () => {
    const post = (path: string, body: object, signal?: AbortSignal) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
        ...(signal && { signal }),
      });
    const created = await post('/threads', {});
    const { thread_id } = (await created.json()) as { thread_id: string };
    const caller = new AbortController();
    const order = { assistant_id: 'slow', input: { query: 'go' }, on_disconnect: 'cancel' };
    const waiting = post(`/threads/${thread_id}/runs/wait`, order, caller.signal).then((answer) =>
      answer.text(),
    );
    const gone = expect(waiting).rejects.toThrow();
    const status = async () => {
      const answer = await fetch(`${url}/threads/${thread_id}/runs`);
      return ((await answer.json()) as { status: string }[])[0]?.status;
    };
    while ((await status()) !== 'running');
    caller.abort();
    await gone;
    let last = await status();
    while (last === 'running') last = await status();
    expect(last).toBe('interrupted');
  });

  it('has no caller notice that a gateway has died', async () => {
    const [first] = gateways;
    await first?.end('SIGKILL');
    const caller = open();
    await Promise.all(Array.from({ length: 20 }, () => caller.order('respond-async')));
    expect(caller.refusals).toEqual({});
    expect(caller.accepted).toHaveLength(20);
  });

  it('says in words of ours that there is no gateway', async () => {
    const [, second] = gateways;
    await second?.end('SIGTERM');
    let answer = await fetch(`${url}/message`, { method: 'POST' });
    while (answer.status !== 503) answer = await fetch(`${url}/message`, { method: 'POST' });
    expect(answer.headers.get('Content-Type')).toBe('application/problem+json');
    expect(answer.headers.get('Retry-After')).toBe('1');
    expect(await answer.json()).toMatchObject({ status: 503, code: 'unavailable' });
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
  });
});
