import { fileURLToPath } from 'node:url';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StoreClient } from './client.ts';
import { type Ledger, startLedger } from './ledger.ts';
import { type AppProcess, startProcess } from './processes.ts';
import { events } from './sse-events.ts';

/** Several gateways and workers, each a process of its own, on one Redis. */

let redis: TestRedis;
let client: StoreClient;
let ledger: Ledger;
let processes: AppProcess[];

const graphs = fileURLToPath(new URL('graphs/langgraph.json', import.meta.url));

async function start(app: 'gateway' | 'worker', env: Record<string, string> = {}): Promise<AppProcess> {
  const started = await startProcess(app, {
    ...redis.env,
    LANGGRAPH_CONFIG: graphs,
    LEASE_SECONDS: '2',
    WORKER_CONCURRENCY: '8',
    LOG_LEVEL: 'info',
    ...env,
  });
  processes.push(started);
  return started;
}

beforeEach(async () => {
  redis = await testRedis();
  client = new StoreClient(redis);
  ledger = await startLedger();
  processes = [];
});

afterEach(async () => {
  await ledger.close();
  const codes = await Promise.all(processes.map((one) => one.end('SIGTERM')));
  await client.close();
  await redis.close();
  // Whoever was not killed on purpose leaves in order.
  expect(codes.filter((code) => code !== 0 && code !== null)).toEqual([]);
});

interface Sent {
  run_id: string;
  thread_id: string;
}

async function post(url: string, path: string, body: unknown, headers: Record<string, string> = {}) {
  return fetch(`${url}${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  });
}

async function submit(gateway: AppProcess, thread: string, text: string): Promise<Sent> {
  const response = await post(gateway.url, `/threads/${thread}/runs`, {
    assistant_id: 'echo',
    input: { text },
    if_not_exists: 'create',
  });
  expect(response.status).toBe(200);
  return (await response.json()) as Sent;
}

/** The value of a gauge on a gateway's page. */
async function gauge(gateway: AppProcess, name: string): Promise<number> {
  const page = await (await fetch(`${gateway.url}/metrics`)).text();
  const line = page.split('\n').find((one) => one.startsWith(name));
  return Number(line?.split(' ').at(-1));
}

describe('two gateways and three workers', () => {
  it('answer for each other’s runs, and a stream goes on where it broke off', async () => {
    await start('worker');
    const [one, other] = await Promise.all([
      start('gateway'),
      start('gateway'),
      start('worker'),
      start('worker'),
    ]);
    ledger.hold('b');
    const sent = (await (
      await post(one.url, '/threads/t1/runs', {
        assistant_id: 'chain',
        input: { text: 'x' },
        config: { configurable: { ledger: ledger.url } },
        stream_mode: ['values', 'updates'],
        if_not_exists: 'create',
      })
    ).json()) as Sent;
    const path = `/threads/t1/runs/${sent.run_id}/stream`;
    const seen: { id: string; name: string }[] = [];
    const broken = new AbortController();
    const first = await fetch(`${one.url}${path}`, { signal: broken.signal });
    for await (const event of events(first)) {
      seen.push(event);
      if (event.name === 'updates') break;
    }
    broken.abort();
    ledger.release('b');
    const rest = await fetch(`${other.url}${path}`, { headers: { 'Last-Event-ID': seen.at(-1)?.id ?? '' } });
    for await (const event of events(rest)) seen.push(event);
    const whole: { id: string; name: string }[] = [];
    for await (const event of events(await fetch(`${other.url}${path}`))) whole.push(event);
    expect(seen).toEqual(whole);
    expect(whole.filter((event) => event.name === 'updates')).toHaveLength(3);
    const polled = await fetch(`${other.url}/threads/t1/runs/${sent.run_id}`);
    expect(await polled.json()).toMatchObject({ status: 'success' });
  });

  it('lose none of 1,000 runs on 50 threads, do none twice, and keep each thread in order', async () => {
    const gateways = await Promise.all([start('gateway'), start('gateway')]);
    await Promise.all([start('worker'), start('worker'), start('worker')]);
    const perThread = Array.from({ length: 50 }, () => 20);
    const sent: Sent[] = [];
    // Threads in random order, each thread's own runs one after the other.
    const left = new Map(perThread.map((count, i) => [`thread-${i}`, count]));
    const lanes = Array.from({ length: 10 }, async (_, lane) => {
      const mine = [...left.keys()].filter((_, i) => i % 10 === lane);
      while (mine.length > 0) {
        const thread = mine[Math.floor(Math.random() * mine.length)] ?? '';
        const remaining = left.get(thread) ?? 0;
        const gateway = gateways[Math.floor(Math.random() * 2)] ?? gateways[0];
        sent.push(await submit(gateway, thread, String(20 - remaining)));
        if (remaining === 1) mine.splice(mine.indexOf(thread), 1);
        left.set(thread, remaining - 1);
      }
    });
    await Promise.all(lanes);
    expect(sent).toHaveLength(1000);
    const runs = await Promise.all(sent.map(({ run_id }) => client.end(run_id)));
    expect(runs.filter((run) => run.status !== 'succeeded')).toEqual([]);
    const expected = Array.from({ length: 20 }, (_, n) => `echo:${n}`);
    for (const thread of left.keys()) {
      expect(await client.valuesOf('default', thread)).toMatchObject({ log: expected });
    }
  }, 120_000);
});

it('demand is what waits, and a worker that comes brings it to nothing', async () => {
  const gateway = await start('gateway');
  await (await start('worker')).end('SIGTERM');
  const sent = await Promise.all(Array.from({ length: 20 }, (_, i) => submit(gateway, `d${i}`, 'x')));
  expect(await gauge(gateway, 'millrace_queue_demand{queue="default"}')).toBe(20);
  await start('worker');
  for (const { run_id } of sent) expect((await client.end(run_id)).status).toBe('succeeded');
  await client.idle('default');
  expect(await gauge(gateway, 'millrace_queue_demand{queue="default"}')).toBe(0);
});

it('kill -9 of a gateway loses nothing it has accepted', async () => {
  await start('worker');
  const [doomed, other] = await Promise.all([start('gateway'), start('gateway')]);
  ledger.hold('echo');
  const answer = await post(doomed.url, '/threads/k/runs', {
    assistant_id: 'echo',
    input: { text: 'kept' },
    config: { configurable: { ledger: ledger.url } },
    if_not_exists: 'create',
  });
  expect(answer.status).toBe(200);
  const { run_id } = (await answer.json()) as Sent;
  await doomed.end('SIGKILL');
  ledger.release('echo');
  const joined = await fetch(`${other.url}/threads/k/runs/${run_id}/join`);
  expect(await joined.json()).toMatchObject({ log: ['echo:kept'] });
});
