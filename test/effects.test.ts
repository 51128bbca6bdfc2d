import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StoreClient } from './client.ts';
import { type Ledger, startLedger } from './ledger.ts';
import { type AppProcess, startProcess } from './processes.ts';
import { sweepUntil } from './sweeping.ts';

let redis: TestRedis;
let client: StoreClient;
let ledger: Ledger;
let processes: AppProcess[];
let stopSweeping: () => Promise<void>;

const graphs = fileURLToPath(new URL('graphs/effects.json', import.meta.url));

async function startWorker(env: Record<string, string> = {}): Promise<AppProcess> {
  const worker = await startProcess('worker', {
    REDIS_URL: redis.url,
    REDIS_PREFIX: redis.keys.prefix,
    LANGGRAPH_CONFIG: graphs,
    LEASE_SECONDS: '1',
    ...env,
  });
  processes.push(worker);
  return worker;
}

beforeEach(async () => {
  redis = await testRedis();
  client = new StoreClient(redis);
  ledger = await startLedger();
  processes = [];
  stopSweeping = sweepUntil(client);
});

afterEach(async () => {
  await stopSweeping();
  await Promise.all(processes.map((one) => one.end('SIGKILL')));
  await ledger.close();
  await client.close();
  await redis.close();
});

const configured = () => ({ config: { configurable: { ledger: ledger.url } } });

/** Kills the worker while it is in this step, and lets another one take over. */
async function killIn(step: string, worker: AppProcess): Promise<void> {
  await ledger.called(step);
  await worker.end('SIGKILL');
  ledger.release(step);
  await startWorker();
}

describe('an idempotency key', () => {
  it('of a tool call is the same after kill -9, and another for each call and each run', async () => {
    const first = await startWorker();
    ledger.hold('notify ann');
    const input = { messages: [{ role: 'user', content: 'tell them' }] };
    const { runId, thread } = await client.submit('agent', { input, ...configured() });
    await ledger.called('notify bob');
    await killIn('notify ann', first);
    expect(await client.end(runId)).toMatchObject({ status: 'succeeded', attempt: 2 });
    const [ann, again] = ledger.keys('notify ann');
    expect(ann).toEqual(expect.stringMatching(/^[\w-]{43}$/));
    expect(again).toBe(ann);
    expect(new Set([ann, ...ledger.keys('notify bob')]).size).toBe(2);

    expect((await client.run('agent', { input, ...configured() }, { thread })).status).toBe('succeeded');
    expect(new Set(ledger.keys('notify ann')).size).toBe(2);
  });

  it('of a plain node, in a sub-graph too, is the same after kill -9', async () => {
    const first = await startWorker();
    ledger.hold('inner');
    const { runId } = await client.submit('nodes', configured());
    await killIn('inner', first);
    expect((await client.end(runId)).status).toBe('succeeded');
    const [key, again] = ledger.keys('inner');
    expect(again).toBe(key);
    expect(ledger.keys('first')).not.toContain(key);
  });

  it('of a functional graph and of its tasks is the same after kill -9', async () => {
    const first = await startWorker();
    ledger.hold('two');
    const { runId } = await client.submit('functional', configured());
    await killIn('two', first);
    expect((await client.end(runId)).status).toBe('succeeded');
    const keys = ['entry', 'one', 'two'].map((step) => new Set(ledger.keys(step)));
    expect(keys.map((one) => one.size)).toEqual([1, 1, 1]);
    expect(new Set(keys.flatMap((one) => [...one])).size).toBe(3);
    expect(ledger.count('entry')).toBe(2);
  });

  it('cannot change because the checkpoint that it comes from was never stored', async () => {
    const proxy = await holdingProxy(redis.url, 'the input that is on its way');
    try {
      await startWorker({ CHECKPOINT_REDIS_URL: proxy.url });
      const input = { text: 'the input that is on its way' };
      const { runId } = await client.submit('functional', { input, ...configured() });
      await proxy.held;
      // As long as it lasts, the task it is for must not begin.
      await sleep(500);
      expect(ledger.count('entry')).toBe(0);
      proxy.release();
      expect((await client.end(runId)).status).toBe('succeeded');
    } finally {
      await proxy.close();
    }
  });
});

/** Passes on what is sent to Redis until it has seen a text in it; from there on it holds everything back. */
async function holdingProxy(target: string, text: string) {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let seen = () => {};
  const held = new Promise<void>((resolve) => {
    seen = resolve;
  });
  let waiting: (() => void)[] | undefined;
  let released = false;
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        client.destroy();
        upstream.destroy();
      });
    }
    upstream.pipe(client);
    client.on('data', (chunk: Buffer) => {
      if (!released && chunk.includes(text)) waiting ??= [];
      if (!waiting) upstream.write(chunk);
      else {
        waiting.push(() => upstream.write(chunk));
        seen();
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    held,
    release: () => {
      released = true;
      for (const send of waiting ?? []) send();
      waiting = undefined;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
