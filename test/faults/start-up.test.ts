import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startProcess } from '../processes.ts';
import { RedisProcess } from './redis-process.ts';
import { TcpProxy } from './tcp-proxy.ts';

/** A Redis that would lose runs: processes refuse to start on it, and say why and what to do. */

vi.setConfig({ testTimeout: 120_000 });

let fit: RedisProcess;
let evicting: RedisProcess;

beforeAll(async () => {
  [fit, evicting] = await Promise.all([
    RedisProcess.start(),
    RedisProcess.start(['maxmemory-policy allkeys-lru']),
  ]);
});
afterAll(() => Promise.all([fit, evicting].map((one) => one.remove())));

const apps = ['gateway', 'worker'] as const;

/** What it says before it exits, having failed. */
async function lastWords(app: (typeof apps)[number], env: Record<string, string>): Promise<string> {
  const started = await startProcess(app, env).catch((error: Error) => error);
  if (started instanceof Error) return started.message;
  await started.end('SIGKILL');
  return `${app} has started`;
}

const policy = /maxmemory-policy is allkeys-lru.*set maxmemory-policy noeviction.*ALLOW_EVICTION=1/;

describe.each(apps)('a %s', (app) => {
  it('starts from its source', async () => {
    const stripsTypes = Boolean((process.features as { typescript?: unknown }).typescript);
    const source = [...(stripsTypes ? [] : ['--import', 'tsx']), `apps/${app}/src/main.ts`];
    const started = await startProcess(app, { REDIS_URL: fit.url }, [], source);
    expect(await started.end('SIGTERM')).toBe(0);
  });

  it('refuses a Redis that evicts keys', async () => {
    const said = await lastWords(app, { REDIS_URL: evicting.url });
    expect(said).toMatch(/ended with 1:/);
    expect(said).toMatch(policy);
    expect(said).toContain('The Redis of REDIS_URL');
  });

  it('refuses such a one for checkpoints too', async () => {
    const said = await lastWords(app, { REDIS_URL: fit.url, CHECKPOINT_REDIS_URL: evicting.url });
    expect(said).toMatch(/ended with 1:/);
    expect(said).toMatch(policy);
    expect(said).toContain('The Redis of CHECKPOINT_REDIS_URL');
  });

  it('takes it when it is told to', async () => {
    const started = await startProcess(app, { REDIS_URL: evicting.url, ALLOW_EVICTION: '1' });
    expect(await started.end('SIGTERM')).toBe(0);
  });

  it('refuses a Redis that is too old', async () => {
    const version = await versionOf(fit);
    // As long as the real one, and older than 6.2.
    const old = `6.0.${'1'.repeat(version.length - 4)}`;
    const proxy = await TcpProxy.start(fit.url);
    proxy.rewrite(`redis_version:${version}`, `redis_version:${old}`);
    const said = await lastWords(app, { REDIS_URL: proxy.url });
    await proxy.close();
    expect(said).toMatch(/ended with 1:/);
    expect(said).toContain(`it is version ${old}; use Redis 6.2 or later, or Valkey`);
  });
});

async function versionOf(server: RedisProcess): Promise<string> {
  const redis = new Redis(server.url);
  const version = /redis_version:(\S+)/.exec(await redis.info('server'))?.[1] ?? '';
  redis.disconnect();
  return version;
}
