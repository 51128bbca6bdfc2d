import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { prometheusCacheDir } from '../scripts/paths.ts';
import { findPrometheus } from '../scripts/prometheus.ts';
import { say } from '../scripts/say.ts';
import { StoreClient } from './client.ts';
import { type Ledger, startLedger } from './ledger.ts';
import { startOpenAiServer } from './openai-server.ts';
import { type AppProcess, startProcess } from './processes.ts';

/** What gateway and worker show to Prometheus, as real processes. */

let redis: TestRedis;
let client: StoreClient;
let ledger: Ledger;
let processes: AppProcess[];

beforeEach(async () => {
  redis = await testRedis();
  client = new StoreClient(redis);
  ledger = await startLedger();
  processes = [];
});

afterEach(async () => {
  await Promise.all(processes.map((one) => one.end('SIGKILL')));
  await ledger.close();
  await client.close();
  await redis.close();
});

async function start(app: 'gateway' | 'worker', env: Record<string, string> = {}): Promise<AppProcess> {
  const own = await startProcess(app, {
    ...redis.env,
    LEASE_SECONDS: '3',
    ...env,
  });
  processes.push(own);
  return own;
}

const graphs = { LANGGRAPH_CONFIG: fileURLToPath(new URL('graphs/langgraph.json', import.meta.url)) };

async function scrape(app: AppProcess): Promise<string> {
  const response = await fetch(`${app.url}/metrics`);
  expect(response.headers.get('Content-Type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  return response.text();
}

/** The value of a series, labels in any order; undefined when it is not there. */
function seriesOf(metrics: string, name: string, labels: Record<string, string> = {}): number | undefined {
  for (const line of metrics.split('\n')) {
    const [, found, given = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (found !== name) continue;
    if (Object.entries(labels).every(([label, text]) => `,${given},`.includes(`,${label}="${text}",`))) {
      return Number(value);
    }
  }
  return undefined;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition()));
}

it('counts runs, attempts, calls of models and tools, tokens, cost and checkpoints', async () => {
  const server = await startOpenAiServer([
    { toolCalls: [{ name: 'calculator', args: { expression: '6*7' } }] },
    { reply: 'It is forty-two.' },
    { status: 401 },
  ]);
  const dir = await mkdtemp(join(tmpdir(), 'millrace-prices-'));
  try {
    const prices = join(dir, 'prices.json');
    await writeFile(prices, JSON.stringify({ 'openai:test-model': { input: 1_000_000, output: 2_000_000 } }));
    const [worker, gateway] = await Promise.all([
      start('worker', {
        MODEL: 'openai:test-model',
        MODEL_BASE_URL: server.baseUrl,
        MODEL_PRICES: prices,
        WORKER_CONCURRENCY: '3',
      }),
      start('gateway', { METRICS_TENANTS: '1' }),
    ]);
    const ask = () =>
      fetch(`${gateway.url}/message`, { method: 'POST', body: JSON.stringify({ query: 'What is 6*7?' }) });
    expect(await (await ask()).json()).toMatchObject({ status: 'succeeded' });
    expect(await (await ask()).json()).toMatchObject({ status: 'failed' });
    // The end is told before the attempt is over.
    await until(
      async () =>
        seriesOf(await scrape(worker), 'millrace_attempts_total', { graph: 'agent', result: 'end' }) === 2,
    );
    // It has not got this graph.
    await client.submit('echo');
    await until(
      async () =>
        (seriesOf(await scrape(worker), 'millrace_attempts_total', { graph: 'echo', result: 'hand_back' }) ??
          0) > 0,
    );
    const own = await scrape(worker);
    const agent = { graph: 'agent' };
    const model = { model: 'test-model' };
    expect(seriesOf(own, 'millrace_runs_claimed_total', agent)).toBe(2);
    for (const status of ['succeeded', 'failed']) {
      expect(seriesOf(own, 'millrace_runs_ended_total', { ...agent, status })).toBe(1);
      expect(seriesOf(own, 'millrace_run_wait_seconds_count', { ...agent, status })).toBe(1);
      expect(seriesOf(own, 'millrace_run_duration_seconds_count', { ...agent, status })).toBe(1);
    }
    expect(seriesOf(own, 'millrace_worker_slots')).toBe(3);
    expect(seriesOf(own, 'millrace_worker_draining')).toBe(0);
    expect(seriesOf(own, 'millrace_model_calls_total', { ...model, status: 'ok' })).toBe(2);
    expect(seriesOf(own, 'millrace_model_calls_total', { ...model, status: 'error' })).toBe(1);
    expect(seriesOf(own, 'millrace_model_call_duration_seconds_count', model)).toBe(3);
    // Seven in for each, one out for the tool's call and three for the words.
    expect(seriesOf(own, 'millrace_model_tokens_total', { ...model, type: 'input' })).toBe(14);
    expect(seriesOf(own, 'millrace_model_tokens_total', { ...model, type: 'output' })).toBe(4);
    expect(seriesOf(own, 'millrace_model_cost_usd_total', model)).toBe(14 + 2 * 4);
    expect(seriesOf(own, 'millrace_tool_calls_total', { tool: 'calculator', status: 'ok' })).toBe(1);
    expect(seriesOf(own, 'millrace_checkpoint_writes_total')).toBeGreaterThan(4);
    expect(seriesOf(own, 'millrace_checkpoint_bytes_total')).toBeGreaterThan(1000);
    expect(seriesOf(own, 'nodejs_eventloop_lag_seconds')).toBeGreaterThanOrEqual(0);

    const all = await scrape(gateway);
    expect(seriesOf(all, 'millrace_runs_submitted_total', { ...agent, queue: 'default' })).toBe(2);
    expect(seriesOf(all, 'http_requests_total', { method: 'POST', route: '/message', status: '200' })).toBe(
      2,
    );
    expect(seriesOf(all, 'millrace_tenant_open_runs', { tenant: 'default' })).toBe(0);
    expect(seriesOf(all, 'millrace_tenant_open_runs', { tenant: '_other' })).toBe(1);
    const scale = async () =>
      (await (await fetch(`${gateway.url}/scale/default`)).json()) as Record<string, number | null>;
    expect(await scale()).toMatchObject({ concurrency: 3 });
    await until(async () => (await scale()).average_run_seconds !== null);
    expect((await scale()).average_run_seconds).toBeGreaterThan(0);
    expect(seriesOf(all, 'millrace_redis_noeviction', { server: 'main' })).toBe(1);
    expect(seriesOf(all, 'millrace_redis_aof_last_write_ok', { server: 'main' })).toBe(1);
    expect(seriesOf(all, 'millrace_redis_connected_clients', { server: 'main' })).toBeGreaterThan(3);
    expect(seriesOf(all, 'millrace_redis_memory_used_bytes', { server: 'main' })).toBeGreaterThan(100_000);
  } finally {
    await server.close();
    await rm(dir, { recursive: true });
  }
});

it('tells what waits, and for what', async () => {
  const gateway = await start('gateway', { METRICS_TENANTS: '1', API_KEYS: 't:key' });
  const { thread } = await client.submit('echo');
  await client.submit('echo', {}, { thread });
  await client.submit('echo', {}, { thread });
  await client.submit('echo', {}, { afterMs: 3_600_000 });
  await client.submit('echo', {}, { tenant: 'no key any more' });
  const all = await scrape(gateway);
  expect(seriesOf(all, 'millrace_outbox_runs')).toBe(2);
  expect(seriesOf(all, 'millrace_held_runs', { reason: 'thread' })).toBe(2);
  expect(seriesOf(all, 'millrace_held_runs', { reason: 'delay' })).toBe(1);
  expect(seriesOf(all, 'millrace_tenant_open_runs', { tenant: 't' })).toBe(4);
  expect(seriesOf(all, 'millrace_tenant_open_runs', { tenant: '_other' })).toBe(1);
});

it('counts attempts that died and ends that no worker brings about, and tells that it leaves', async () => {
  const gateway = await start('gateway');
  const first = await start('worker', graphs);
  ledger.hold('echo');
  const configured = { config: { configurable: { ledger: ledger.url } } };
  const { runId } = await client.submit('echo', configured);
  await ledger.called('echo');
  await first.end('SIGKILL');
  const second = await start('worker', graphs);
  await until(
    async () => (seriesOf(await scrape(second), 'millrace_crashes_total', { graph: 'echo' }) ?? 0) > 0,
  );
  ledger.release('echo');
  await client.end(runId);
  await until(
    async () =>
      seriesOf(await scrape(second), 'millrace_attempts_total', { graph: 'echo', result: 'end' }) === 1,
  );

  ledger.hold('b');
  const { thread } = await client.submit('chain', configured, { tenant: 'default' });
  await ledger.called('b');
  const location = `${gateway.url}/threads/${thread}/runs`;
  const behind = await fetch(location, {
    method: 'POST',
    body: JSON.stringify({ assistant_id: 'chain', input: {} }),
  });
  const { run_id } = (await behind.json()) as { run_id: string };
  expect((await fetch(`${location}/${run_id}/cancel`, { method: 'POST' })).status).toBe(202);
  expect(
    seriesOf(await scrape(gateway), 'millrace_runs_ended_total', { graph: 'chain', status: 'cancelled' }),
  ).toBe(1);

  // Asked to leave, it is still there while a step is at work.
  second.signal('SIGTERM');
  await until(async () => seriesOf(await scrape(second), 'millrace_worker_draining') === 1);
});

it('leaves an end to who brought it about, though it hears of it', async () => {
  const { runId } = await client.submit('echo');
  const by = { worker: 'gone', nonce: 'n', leaseMs: 1, crashBudget: 3 };
  expect(await client.store.claim(runId, by, { token: 0 })).toMatchObject({ outcome: 'claimed' });
  await until(async () => (await client.store.cancel(runId)).outcome === 'ended');
  const worker = await start('worker', graphs);
  // The delivery is still there.
  await until(async () => (await client.doorbell.demand('default', 0)).demand === 0);
  const own = await scrape(worker);
  expect(seriesOf(own, 'millrace_runs_ended_total', { graph: 'echo' })).toBeUndefined();
  expect(seriesOf(own, 'millrace_crashes_total', { graph: 'echo' })).toBeUndefined();
});

it('shows the open streams, and the events sent', async () => {
  const [gateway] = await Promise.all([start('gateway'), start('worker', graphs)]);
  ledger.hold('echo');
  const stream = await fetch(`${gateway.url}/runs/stream`, {
    method: 'POST',
    body: JSON.stringify({
      assistant_id: 'echo',
      input: {},
      config: { configurable: { ledger: ledger.url } },
    }),
  });
  await ledger.called('echo');
  expect(seriesOf(await scrape(gateway), 'millrace_streams_open')).toBe(1);
  ledger.release('echo');
  const events = [...(await stream.text()).matchAll(/^event: /gm)].length;
  const all = await scrape(gateway);
  expect(seriesOf(all, 'millrace_streams_open')).toBe(0);
  expect(seriesOf(all, 'millrace_stream_events_sent_total')).toBe(events);
  expect(events).toBeGreaterThan(1);
});

it('passes promtool check metrics', async ({ skip }) => {
  const promtool = await findPrometheus('promtool', {
    cacheDir: prometheusCacheDir,
    env: process.env,
    log: say,
  });
  if ('reason' in promtool) return skip(`no promtool: ${promtool.reason}`);
  const [gateway, worker] = await Promise.all([start('gateway', { METRICS_TENANTS: '1' }), start('worker')]);
  // So that what has labels has values.
  await fetch(`${gateway.url}/message`, { method: 'POST', body: JSON.stringify({ query: 'What is 6*7?' }) });
  for (const app of [gateway, worker]) {
    const child = spawn(promtool.file, ['check', 'metrics'], { stdio: ['pipe', 'pipe', 'pipe'] });
    const [out, err] = [text(child.stdout), text(child.stderr)];
    child.stdin.end(await scrape(app));
    const code = await new Promise((resolve) => child.once('exit', resolve));
    expect([code, await out, await err]).toEqual([0, '', '']);
  }
});

it('a price file that cannot be used stops the start', async () => {
  await expect(start('worker', { MODEL_PRICES: '/nowhere.json', WORKER_CONCURRENCY: 'x' })).rejects.toThrow(
    /WORKER_CONCURRENCY: [\s\S]*MODEL_PRICES: the file \/nowhere.json cannot be read/,
  );
});
