import { RedisSaver } from '@millrace/checkpoint-redis';
import { Catalog } from '@millrace/shared/catalog';
import { Keys } from '@millrace/shared/keys';
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { catalogEntry } from '../../apps/gateway/src/gateway-testing.ts';
import { type AppProcess, startProcess } from '../processes.ts';
import { RedisProcess } from './redis-process.ts';
import { TcpProxy } from './tcp-proxy.ts';

/** Lists read from a real replica: current, behind, away, and none at all. */

const keys = new Keys('replica');

let primary: RedisProcess;
let link: TcpProxy;
let replica: RedisProcess;
let direct: Redis;
let gateway: AppProcess | undefined;

beforeEach(async () => {
  primary = await RedisProcess.start(['repl-diskless-sync-delay 0']);
  link = await TcpProxy.start(primary.url);
  replica = await RedisProcess.start([`replicaof 127.0.0.1 ${new URL(link.url).port}`]);
  direct = primary.connect();
  await new Catalog(direct, keys).publish([catalogEntry('agent')]);
});

afterEach(async () => {
  await gateway?.end('SIGKILL');
  gateway = undefined;
  direct.disconnect();
  await link.close();
  await Promise.all([primary.remove(), replica.remove()]);
});

async function start(env: Record<string, string> = {}): Promise<void> {
  gateway = await startProcess('gateway', {
    REDIS_URL: primary.url,
    REDIS_READ_URL: replica.url,
    REDIS_PREFIX: keys.prefix,
    ...env,
  });
}

const logged = (text: string) => gateway?.log.filter((line) => line.includes(text)).length;

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(`${gateway?.url}${path}`, {
    method,
    ...(body !== undefined && {
      body: JSON.stringify(body),
      headers: { 'Content-Type': 'application/json' },
    }),
  });
  expect([path, response.status]).toEqual([path, 200]);
  return (await response.json()) as T;
}

interface Run {
  run_id: string;
}

async function submit(thread?: string): Promise<{ thread: string; run: string }> {
  const { thread_id = '' } = thread
    ? { thread_id: thread }
    : await call<{ thread_id: string }>('POST', '/threads', {});
  const { run_id } = await call<Run>('POST', `/threads/${thread_id}/runs`, {
    assistant_id: 'agent',
    input: {},
  });
  return { thread: thread_id, run: run_id };
}

const list = async (thread: string) =>
  (await call<Run[]>('GET', `/threads/${thread}/runs`)).map(({ run_id }) => run_id);

/** Lists so far, by who gave them. */
async function reads(): Promise<Record<string, number>> {
  const metrics = await (await fetch(`${gateway?.url}/metrics`)).text();
  const lines = metrics.matchAll(/^millrace_list_reads_total\{source="(\w+)"\} (\d+)$/gm);
  return Object.fromEntries([...lines].map(([, source = '', count]) => [source, Number(count)]));
}

/** Asks until the replica has answered. */
async function answered(thread: string): Promise<string[]> {
  const { replica: before = 0 } = await reads();
  for (;;) {
    const found = await list(thread);
    if (((await reads()).replica ?? 0) > before) return found;
  }
}

async function putState(thread: string, id: string): Promise<void> {
  const saver = new RedisSaver(direct, { prefix: keys.checkpoints(), namespace: 'default' });
  await saver.put(
    { configurable: { thread_id: thread, checkpoint_ns: '' } },
    {
      v: 4,
      id,
      ts: new Date().toISOString(),
      channel_values: {},
      channel_versions: {},
      versions_seen: {},
    },
    { source: 'loop', step: 0, parents: {} },
    {},
  );
}

it('gives lists and histories, by page too, and nothing else', async () => {
  await start();
  const { thread, run } = await submit();
  const ids = ['1ef00000-0000-6000-8000-000000000001', '1ef00000-0000-6000-8000-000000000002'];
  for (const id of ids) await putState(thread, id);
  await direct.wait(1, 0);
  expect(await answered(thread)).toEqual([run]);
  const { replica: before = 0, ...rest } = await reads();
  interface State {
    checkpoint: { checkpoint_id: string };
  }
  const history = (query = '') => call<State[]>('GET', `/threads/${thread}/history${query}`);
  const found = async (query?: string) =>
    (await history(query)).map(({ checkpoint }) => checkpoint.checkpoint_id);
  expect(await found()).toEqual([...ids].reverse());
  expect(await found(`?before=${ids[1]}`)).toEqual(ids.slice(0, 1));
  await call('GET', `/threads/${thread}`);
  await call('GET', `/threads/${thread}/state`);
  await call('GET', `/threads/${thread}/runs/${run}`);
  expect(await reads()).toEqual({ ...rest, replica: before + 2 });
});

it('that is behind gives older lists, and never none for what is there', async () => {
  await start();
  const { thread, run } = await submit();
  await direct.wait(1, 0);
  await answered(thread);
  link.break('held');
  const later = await submit(thread);
  expect(await answered(thread)).toEqual([run]);
  const other = await submit();
  expect(await list(other.thread)).toEqual([other.run]);
  await call('GET', `/threads/${other.thread}`);
  await call('GET', `/threads/${other.thread}/history`);
  link.heal();
  await direct.wait(1, 0);
  expect(await answered(thread)).toEqual([later.run, run]);
});

it('that is cut off from its primary is not asked', async () => {
  await start();
  const { thread, run } = await submit();
  await direct.wait(1, 0);
  await answered(thread);
  link.break('refused');
  const later = await submit(thread);
  while ((await list(thread)).length < 2);
  expect(await list(thread)).toEqual([later.run, run]);
  expect(logged('it is cut off from its primary')).toBeGreaterThan(0);
});

it.each(['killed', 'paused'] as const)(
  'that is %s is not missed, which is told; and it is asked again',
  async (how) => {
    await start();
    const { thread, run } = await submit();
    await direct.wait(1, 0);
    await answered(thread);
    if (how === 'killed') await replica.kill();
    else replica.pause();
    const { replica: before } = await reads();
    for (let asked = 0; asked < 3; asked += 1) expect(await list(thread)).toEqual([run]);
    expect((await reads()).replica).toBe(before);
    expect(logged('the primary answers lists')).toBeGreaterThan(0);
    if (how === 'killed') await replica.up();
    else replica.resume();
    expect(await answered(thread)).toEqual([run]);
    expect(logged('the replica answers lists again')).toBeGreaterThan(0);
  },
);

it('that is none of this primary is not asked', async () => {
  const stranger = await RedisProcess.start();
  try {
    await start({ REDIS_READ_URL: stranger.url });
    const { thread, run } = await submit();
    // The first may be given before the stranger has said who it is.
    while (!logged('it is no replica of the primary')) expect(await list(thread)).toEqual([run]);
    expect(Object.keys(await reads())).toEqual(['primary']);
  } finally {
    await stranger.remove();
  }
});
