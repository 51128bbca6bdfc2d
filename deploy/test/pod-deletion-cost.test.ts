import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testRedis } from '@millrace/shared/test-redis';
import { expect, it, onTestFinished } from 'vitest';
import { projectRoot } from '../../scripts/paths.ts';
import { runCommand } from '../../scripts/run-command.ts';
import { startProcess } from '../../test/processes.ts';
import { build, compose } from './kustomize.ts';
import { workloads } from './pods.ts';

const COST = 'controller.kubernetes.io/pod-deletion-cost';

interface Asked {
  method: string;
  path: string;
  authorization: string | undefined;
  type: string | undefined;
  body: unknown;
}

/** Answers as the Kubernetes API does for what the Role allows: list and patch Pods; all else is 403. */
async function kubernetes(items: object[]): Promise<{ url: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  const server: Server = createServer(async (req, res) => {
    let text = '';
    for await (const part of req) text += part;
    const url = new URL(req.url ?? '', 'http://x');
    const body = text === '' ? undefined : JSON.parse(text);
    const { authorization, 'content-type': type } = req.headers;
    asked.push({ method: req.method ?? '', path: url.pathname + url.search, authorization, type, body });
    const list = req.method === 'GET' && url.pathname === '/api/v1/namespaces/millrace/pods';
    const patch = req.method === 'PATCH' && url.pathname.startsWith('/api/v1/namespaces/millrace/pods/');
    res.writeHead(list || patch ? 200 : 403, { 'Content-Type': 'application/json' });
    res.end(JSON.stringify(list ? { kind: 'PodList', items } : {}));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

async function round(env: Record<string, string>) {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-token-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const token = join(dir, 'token');
  writeFileSync(token, 'a-token\n');
  const objects = await compose(['components/keda-redis', 'components/pod-deletion-cost']);
  const job = workloads(objects).find(({ object }) => object.kind === 'CronJob');
  const [, script = ''] = job?.containers[0]?.command ?? [];
  return runCommand(process.execPath, ['--import', 'tsx', script], {
    timeoutMs: 50_000,
    cwd: projectRoot,
    env: { PATH: process.env.PATH, TOKEN_FILE: token, POD_NAMESPACE: 'millrace', ...env },
  });
}

it('tells what a real worker has at work, and changes only what has changed', async () => {
  const redis = await testRedis();
  onTestFinished(redis.close);
  const worker = await startProcess('worker', {
    ...redis.env,
    MODEL: 'demo',
  });
  onTestFinished(async () => void (await worker.end('SIGTERM')));
  const { hostname: podIP, port } = new URL(worker.url);
  const pod = (name: string, status: object, metadata: object = {}) => ({
    metadata: { name, ...metadata },
    status: { phase: 'Running', podIP, ...status },
  });
  const { url, asked } = await kubernetes([
    pod('was-busy', {}, { annotations: { [COST]: '3' } }),
    pod('idle', {}),
    pod('was-idle', {}, { annotations: { [COST]: '0' } }),
    pod('not-yet', { phase: 'Pending', podIP: undefined }),
    pod('leaving', {}, { annotations: { [COST]: '3' }, deletionTimestamp: '2026-01-01T00:00:00Z' }),
    pod('silent', { podIP: '127.0.0.9' }, { annotations: { [COST]: '2' } }),
  ]);
  const result = await round({ KUBERNETES_API: url, WORKER_PORT: port });
  expect(result).toMatchObject({ code: 0, stdout: '4 workers, 1 changed\n', stderr: '' });
  const [list, ...patches] = asked;
  const selector = encodeURIComponent('app.kubernetes.io/name=millrace,app.kubernetes.io/component=worker');
  expect(list).toMatchObject({
    method: 'GET',
    path: `/api/v1/namespaces/millrace/pods?labelSelector=${selector}`,
    authorization: 'Bearer a-token',
  });
  expect(patches).toEqual([
    {
      method: 'PATCH',
      path: '/api/v1/namespaces/millrace/pods/was-busy',
      authorization: 'Bearer a-token',
      type: 'application/merge-patch+json',
      body: { metadata: { annotations: { [COST]: '0' } } },
    },
  ]);
});

it('fails, and says why, when it may not', async () => {
  const { url } = await kubernetes([]);
  const result = await round({ KUBERNETES_API: url, POD_NAMESPACE: 'another' });
  expect(result.code).toBe(1);
  expect(result.stderr).toContain('403');
});

it('selects the workers that base deploys', async () => {
  const worker = workloads(await build('base')).find(
    ({ object }) => object.metadata.name === 'millrace-worker',
  );
  expect(worker?.labels).toMatchObject({
    'app.kubernetes.io/name': 'millrace',
    'app.kubernetes.io/component': 'worker',
  });
});
