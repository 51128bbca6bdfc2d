import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@millrace/shared/logger';
import { checkServer, connect, whenReady } from '@millrace/shared/redis';
import { expect, it, onTestFinished } from 'vitest';
import { freePort } from '../../scripts/ports.ts';
import { serverLine } from '../../scripts/testing.ts';
import { compose, deployDir } from './kustomize.ts';
import { workloads } from './pods.ts';

const conf = readFileSync(join(deployDir, 'components/redis/redis.conf'), 'utf8');

it('is a configuration that a real Redis takes, and that gateways and workers accept', async ({ skip }) => {
  const line = await serverLine();
  if (line === undefined) return skip('this machine has Redis in Docker only');
  const dir = mkdtempSync(join(tmpdir(), 'millrace-conf-'));
  const file = join(dir, 'redis.conf');
  const port = await freePort();
  expect(conf).toContain('\ndir /data\n');
  writeFileSync(file, conf.replace('\ndir /data\n', `\ndir ${dir}\n`));
  const args = [file, '--port', `${port}`, '--bind', '127.0.0.1', '--requirepass', 'p#/%'];
  const server = spawn('/bin/sh', ['-c', `${line} "$@"`, 'sh', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [server.stdout, server.stderr]) stream.on('data', (text) => (said += text));
  const gone = once(server, 'exit');
  onTestFinished(async () => {
    server.kill('SIGTERM');
    await gone;
    rmSync(dir, { recursive: true, force: true });
  });
  const logger = createLogger('test', 'silent');
  const redis = connect({ url: `redis://127.0.0.1:${port}`, password: 'p#/%' }, 'worker', logger);
  onTestFinished(() => redis.disconnect());
  await Promise.race([
    whenReady(redis),
    gone.then(() => {
      throw new Error(`Redis refuses the file: ${said}`);
    }),
  ]);
  await checkServer(redis, { variable: 'REDIS_URL', allowEviction: false });
  // Each line that says something, as the server has it.
  const settings = conf
    .split('\n')
    .map((text) => text.trim())
    .filter((text) => text !== '' && !text.startsWith('#'))
    .map((text) => text.split(' ')[0] ?? '');
  for (const name of new Set(settings)) {
    const value = (await redis.config('GET', name)) as string[];
    expect({ name, known: value.length > 0 }).toEqual({ name, known: true });
  }
  const facts = await redis.config('GET', 'maxmemory-policy');
  expect(facts).toEqual(['maxmemory-policy', 'noeviction']);
  expect(await redis.config('GET', 'appendonly')).toEqual(['appendonly', 'yes']);
});

it('leaves as much room beside the data as rewriting the append-only file may need', async () => {
  const objects = await compose(['components/redis']);
  const redis = workloads(objects).find(({ object }) => object.kind === 'StatefulSet');
  const limit = /^(\d+)Gi$/.exec(redis?.containers[0]?.resources.limits.memory ?? '')?.[1];
  const most = /^maxmemory (\d+)gb$/m.exec(conf)?.[1];
  expect(Number(limit)).toBeGreaterThanOrEqual(2 * Number(most));
  const [claim] = redis?.object.spec.volumeClaimTemplates ?? [];
  expect(claim.spec.resources.requests.storage).toBe(`${10 * Number(most)}Gi`);
});
