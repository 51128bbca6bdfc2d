import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { RedisSaver, raiseFence } from '@millrace/checkpoint-redis';
import type { RunRecord } from '@millrace/shared/contract/run';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StoreClient } from './client.ts';
import { approval } from './graphs/graphs.ts';
import { type Ledger, startLedger } from './ledger.ts';
import { type AppProcess, startProcess } from './processes.ts';

let redis: TestRedis;
let client: StoreClient;
let ledger: Ledger;
let processes: AppProcess[];
let gateway: AppProcess;

const graphsOf = (file: string) => fileURLToPath(new URL(`graphs/${file}.json`, import.meta.url));

async function start(app: 'gateway' | 'worker', env: Record<string, string> = {}): Promise<AppProcess> {
  const started = await startProcess(app, {
    ...redis.env,
    LEASE_SECONDS: '1',
    CRASH_BUDGET: '1',
    ...env,
  });
  processes.push(started);
  return started;
}

const deadly = { LANGGRAPH_CONFIG: graphsOf('effects') };
const asking = { LANGGRAPH_CONFIG: graphsOf('langgraph') };

/** What the gateway's answers have that is looked at here. */
interface Body {
  run_id: string;
  dead_letters: { run_id: string }[];
  next_cursor: string | null;
  detail: string;
  log: string[];
}

async function call(tenant: string, method: string, path: string, body?: object) {
  const response = await fetch(`${gateway.url}${path}`, {
    method,
    headers: { Authorization: `Bearer key-of-${tenant}`, Prefer: 'wait=50' },
    ...(body && { body: JSON.stringify(body) }),
  });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Body };
}

const configured = () => ({ config: { configurable: { ledger: ledger.url } } });

beforeEach(async () => {
  redis = await testRedis();
  client = new StoreClient(redis);
  ledger = await startLedger();
  processes = [];
  gateway = await start('gateway', { API_KEYS: 't:key-of-t,other:key-of-other' });
});

afterEach(async () => {
  await Promise.all(processes.map((one) => one.end('SIGKILL')));
  await ledger.close();
  await client.close();
  await redis.close();
});

/** Lets a run kill its workers until it is given up. */
async function die(more: object = {}): Promise<RunRecord> {
  const input = { messages: [{ role: 'user', content: 'hello', id: 'm' }] };
  const submitted = await client.submit('deadly', { input, metadata: { mine: 1 }, ...configured() }, more);
  for (let crash = 0; crash < 2; crash++) {
    const victim = await start('worker', { ...deadly, DEADLY: '1' });
    expect(await victim.end('SIGCONT')).toBeNull();
  }
  await start('worker', deadly);
  return client.end(submitted.runId);
}

async function metric(name: string): Promise<string | undefined> {
  const text = await (await fetch(`${gateway.url}/metrics`)).text();
  return text.split('\n').find((line) => line.startsWith(`${name} `));
}

describe('a dead letter', () => {
  it('is listed, and goes on from its last checkpoint when it is run again', async () => {
    const dead = await die();
    expect(dead).toMatchObject({ status: 'failed', error: { code: 'crash_budget' } });
    expect(await metric('millrace_dead_letters')).toBe('millrace_dead_letters 1');
    const listed = await call('t', 'GET', '/dead-letters');
    expect(listed.body).toEqual({
      dead_letters: [
        expect.objectContaining({
          run_id: dead.id,
          thread_id: dead.thread,
          graph_id: 'deadly',
          error: { code: 'crash_budget', message: expect.any(String) },
          attempts: 2,
          metadata: { mine: 1 },
        }),
      ],
      next_cursor: null,
    });
    expect((await call('other', 'GET', '/dead-letters')).body.dead_letters).toEqual([]);
    expect((await call('other', 'POST', `/dead-letters/${dead.id}/rerun`)).status).toBe(404);

    const reruns = await Promise.all(
      [1, 2, 3].map(() => call('t', 'POST', `/dead-letters/${dead.id}/rerun`)),
    );
    expect(reruns.map((one) => one.status)).toEqual([202, 202, 202]);
    const ids = new Set(reruns.map((one) => one.body.run_id));
    expect(ids.size).toBe(1);
    const [id = ''] = ids;
    expect(reruns[0]?.headers.get('Location')).toBe(`/message/${id}`);
    expect(await client.end(id)).toMatchObject({
      status: 'succeeded',
      answer: 'b',
      request: { metadata: { mine: 1 } },
    });
    expect([ledger.count('a'), ledger.count('b')]).toEqual([1, 3]);
    expect(new Set(ledger.keys('b')).size).toBe(1);
    const { messages } = (await client.values(dead.thread)) as { messages: { content: string }[] };
    expect(messages.map((one) => one.content)).toEqual(['hello', 'a', 'b']);
    expect((await call('t', 'GET', '/dead-letters')).body.dead_letters).toEqual([]);
    expect((await call('t', 'POST', `/dead-letters/${dead.id}/rerun`)).body.run_id).toBe(id);
    expect(await metric('millrace_dead_letters')).toBe('millrace_dead_letters 0');
    const fine = await call('t', 'POST', `/dead-letters/${id}/rerun`);
    expect(fine).toMatchObject({ status: 422, body: { field: 'run_id', code: 'invalid_request' } });
  });
});

/** Plays a worker that dies, and another that finds the run given up. */
async function giveUp(runId: string, work: (saver: RedisSaver) => Promise<unknown>): Promise<RunRecord> {
  const by = () => ({ worker: 'dead', nonce: randomUUID(), leaseMs: 1, crashBudget: 0 });
  const claim = await client.store.claim(runId, by(), { token: 0 });
  if (claim.outcome !== 'claimed') throw new Error(claim.outcome);
  const { lease, thread } = claim;
  const prefix = redis.keys.checkpoints();
  await raiseFence(redis.checkpoints, { prefix, namespace: 't', threadId: thread }, lease);
  const head = (await client.checkpoints.head(thread))?.checkpointId ?? '';
  await client.store.begin(runId, lease, { base: head, head });
  await work(new RedisSaver(redis.checkpoints, { prefix }).withLease({ namespace: 't', lease, runId }));
  let again = await client.store.claim(runId, by(), { token: lease.token, head: 'looked' });
  while (again.outcome === 'leased') {
    again = await client.store.claim(runId, by(), { token: lease.token, head: 'looked' });
  }
  expect(again.outcome).toBe('ended');
  return client.end(runId);
}

it('a dead letter is not run again when its thread has moved on', async () => {
  const { runId, thread } = await client.submit('echo', configured());
  await giveUp(runId, async () => undefined);
  await start('worker', asking);
  await client.run('echo', { input: { text: 'and now?' }, ...configured() }, { thread });
  const refused = await call('t', 'POST', `/dead-letters/${runId}/rerun`);
  expect(refused).toMatchObject({ status: 409, body: { code: 'thread_moved', field: 'run_id' } });
  expect(refused.body.detail).toContain('new message');
});

it('a dead letter that stands at an approval asks for it, and does not walk through', async () => {
  const { runId, thread } = await client.submit('approval', configured());
  const dead = await giveUp(runId, async (saver) => {
    const { configurable } = configured().config;
    await Object.assign(Object.create(approval), { checkpointer: saver }).invoke(
      { text: 'x' },
      { configurable: { ...configurable, thread_id: thread } },
    );
  });
  expect(dead.error?.code).toBe('crash_budget');
  await start('worker', asking);
  const { body } = await call('t', 'POST', `/dead-letters/${runId}/rerun`);
  expect(await client.end(body.run_id)).toMatchObject({
    status: 'interrupted',
    questions: [{ kind: 'breakpoint', node: 'pay' }],
  });
  expect([ledger.count('prepare'), ledger.count('pay')]).toEqual([1, 0]);
  const paid = await call('t', 'POST', `/threads/${thread}/runs/wait`, {
    assistant_id: 'approval',
    input: null,
    ...configured(),
  });
  expect(paid.body.log).toEqual(['prepare:x', 'pay:x']);
});

it('a dead letter that wrote nothing is what it was: a request, or the answer to a question', async () => {
  const worker = await start('worker', asking);
  const asked = await client.run('ask', configured());
  await worker.end('SIGKILL');
  const [question] = asked.questions ?? [];
  const answer = {
    answers: { [question?.id ?? '']: 'yes' },
    resume: { [question?.interruptId ?? '']: 'yes' },
    ...configured(),
  };
  const submitted = [
    await client.submit('echo', { input: { text: 'once' }, ...configured() }),
    await client.submit('ask', answer, { thread: asked.thread }),
  ];
  for (const { runId } of submitted) await giveUp(runId, async () => undefined);

  const pages: string[] = [];
  for (let cursor: string | null = ''; cursor !== null && pages.length < 3; ) {
    const { body }: { body: Body } = await call('t', 'GET', `/dead-letters?limit=1${cursor}`);
    pages.push(...body.dead_letters.map((one) => one.run_id));
    cursor = body.next_cursor && `&cursor=${body.next_cursor}`;
  }
  expect(pages).toEqual(submitted.map((one) => one.runId).reverse());
  expect((await call('t', 'GET', '/dead-letters?cursor=x')).status).toBe(422);

  await start('worker', asking);
  for (const { runId, thread } of submitted) {
    const { body } = await call('t', 'POST', `/dead-letters/${runId}/rerun`);
    expect((await client.end(body.run_id)).status).toBe('succeeded');
    const { log } = await client.values(thread);
    expect(log).toEqual(thread === asked.thread ? ['ask:yes', 'after:'] : ['echo:once']);
  }
});
