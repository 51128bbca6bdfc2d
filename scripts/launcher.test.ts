import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type LaunchOptions, launch, type RedisHandle } from './launcher.ts';
import { freePort } from './ports.ts';
import { startRedis } from './private-redis.ts';
import { fakeApp, isAlive, moduleUrl, runModule, tempDir } from './testing.ts';

interface Scene {
  /** What was told, in order. */
  said: string[];
  journal(): string[];
  stop: AbortController;
  force: AbortController;
  port: number;
  ready: Promise<void>;
  code: Promise<number>;
}

async function begin(options: Partial<LaunchOptions> = {}, env: NodeJS.ProcessEnv = {}): Promise<Scene> {
  const dir = tempDir();
  const app = fakeApp(dir);
  const said: string[] = [];
  const stop = new AbortController();
  const force = new AbortController();
  const port = options.port ?? (await freePort());
  let code: Promise<number> | undefined;
  const ready = new Promise<void>((resolve) => {
    code = launch({
      gateway: app.command('gateway'),
      worker: app.command('worker'),
      workers: 1,
      host: '127.0.0.1',
      port,
      workerPort: 0,
      cwd: dir,
      env: { ...process.env, ...env },
      logDir: join(dir, 'logs'),
      openRedis: async () => fakeRedis,
      say: (line) => said.push(line),
      complain: (line) => said.push(line),
      banner(url) {
        resolve();
        return `ready at ${url}`;
      },
      stop: stop.signal,
      force: force.signal,
      ...options,
    });
  });
  if (code === undefined) throw new Error('unreachable');
  const running = code;
  onTestFinished(async () => {
    stop.abort();
    force.abort();
    await running;
  });
  return { said, journal: app.journal, stop, force, port, ready, code: running };
}

const fakeRedis: RedisHandle = {
  url: 'redis://127.0.0.1:1',
  exited: new Promise(() => {}),
  outlive: () => {},
  stop: async () => {},
};

test('stops the gateway first, then the workers, then Redis', async () => {
  const scene = await begin({
    workers: 2,
    openRedis: (signal) => startRedis({ ephemeral: true, log: () => {}, signal }),
  });
  await scene.ready;
  expect(scene.said).toContain(`ready at http://127.0.0.1:${scene.port}`);
  scene.stop.abort();
  expect(await scene.code).toBe(0);
  const left = scene.journal().filter((line) => !line.includes(' up '));
  expect(left.slice(0, 2)).toEqual(['gateway asked', 'gateway gone, redis up']);
  expect(left.slice(2).sort()).toEqual([
    ...['worker asked', 'worker asked', 'worker gone, redis up', 'worker gone, redis up'],
  ]);
});

test('workers listen on ports that count upward past those in use', async () => {
  const busy = createServer();
  await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void busy.close());
  const from = (busy.address() as AddressInfo).port;
  const scene = await begin({ workers: 2, workerPort: from });
  await scene.ready;
  const ports = scene.journal().flatMap((line) => /^worker up (\d+)/.exec(line)?.[1] ?? []);
  expect(new Set(ports).size).toBe(2);
  for (const port of ports) expect(Number(port)).toBeGreaterThan(from);
});

test('a port in use is told by name, before anything is started', async () => {
  const busy = createServer();
  await new Promise<void>((resolve) => busy.listen(0, '0.0.0.0', resolve));
  onTestFinished(() => void busy.close());
  const { port } = busy.address() as AddressInfo;
  const scene = await begin({ port, openRedis: () => Promise.reject(new Error('too early')) });
  expect(await scene.code).toBe(1);
  expect(scene.said).toEqual([
    expect.stringMatching(`^Port ${port} on 127.0.0.1 is already in use.*PORT=${port + 1} `),
  ]);
});

test('when one dies, its last words are shown and the others are stopped', async () => {
  const scene = await begin({}, { FAKE: 'dies' });
  expect(await scene.code).toBe(1);
  expect(scene.said.join('\n')).toMatch(
    /worker-1 ended with code 3\.\nThe end of .*worker-1\.log:\na last word/,
  );
});

test('a program that is not there is told like one that died', async () => {
  const scene = await begin({ worker: { file: '/no/such/program', args: [] } });
  expect(await scene.code).toBe(1);
  expect(scene.said.join('\n')).toContain('worker-1 spawn /no/such/program ENOENT');
});

test('the wait for readiness has an end', async () => {
  const scene = await begin({ readyMs: 1500 }, { FAKE: 'deaf' });
  expect(await scene.code).toBe(1);
  expect(scene.said.join('\n')).toMatch(/was not ready within 1\.5 s/);
});

test('when Redis ends by itself, everything is stopped', async () => {
  let end: (words: string) => void = () => {};
  const exited = new Promise<string>((resolve) => {
    end = resolve;
  });
  const scene = await begin({ openRedis: async () => ({ ...fakeRedis, exited }) });
  await scene.ready;
  end('out of memory');
  expect(await scene.code).toBe(1);
  expect(scene.said.join('\n')).toContain('Redis ended. Its last words:\nout of memory');
  expect(scene.journal()).toContain('gateway asked');
});

test('one that will not leave is ended at the deadline', async () => {
  const scene = await begin({ gatewayStopMs: 100, workerStopMs: 100 }, { FAKE: 'stubborn' });
  await scene.ready;
  scene.stop.abort();
  expect(await scene.code).toBe(1);
  expect(scene.said.join('\n')).toMatch(/gateway did not stop in order/);
});

test('a second request to stop does not wait', async () => {
  const scene = await begin({}, { FAKE: 'stubborn' });
  await scene.ready;
  scene.stop.abort();
  await expect.poll(() => scene.said).toContain('Stopping the gateway ...');
  scene.force.abort();
  expect(await scene.code).toBe(1);
});

test('when the launcher is killed, the apps leave and Redis goes last', async () => {
  const dir = tempDir();
  const app = fakeApp(dir);
  const { child, told } = await runModule(`
    import { launch } from '${moduleUrl('./launcher.ts')}';
    import { startRedis } from '${moduleUrl('./private-redis.ts')}';
    let redis;
    const never = new AbortController().signal;
    await launch({
      gateway: ${JSON.stringify(app.command('gateway'))},
      worker: ${JSON.stringify(app.command('worker'))},
      workers: 1, host: '127.0.0.1', port: 0, workerPort: 0, cwd: ${JSON.stringify(dir)},
      env: process.env, logDir: ${JSON.stringify(join(dir, 'logs'))},
      openRedis: async () => (redis = await startRedis({ ephemeral: true, log: () => {} })),
      say: (line) => { if (line === 'ready') process.stdout.write(JSON.stringify(redis.pid) + '\\n'); },
      complain: (line) => process.stderr.write(line), banner: () => 'ready', stop: never, force: never,
    });
  `);
  child.kill('SIGKILL');
  await expect.poll(() => isAlive(told as number), { timeout: 20_000 }).toBe(false);
  const left = app.journal().filter((line) => !line.includes(' up '));
  expect(left.sort()).toEqual([
    ...['gateway gone, redis up', 'gateway launcher gone', 'worker gone, redis up', 'worker launcher gone'],
  ]);
});
