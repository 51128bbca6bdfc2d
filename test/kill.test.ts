import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { RedisSaver, raiseFence } from '@millrace/checkpoint-redis';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StoreClient } from './client.ts';
import { approval } from './graphs/graphs.ts';
import { type Ledger, startLedger } from './ledger.ts';
import { type AppProcess, startProcess } from './processes.ts';
import { sweepUntil } from './sweeping.ts';

let redis: TestRedis;
let client: StoreClient;
let ledger: Ledger;
let processes: AppProcess[];
let stopSweeping: () => Promise<void>;

const graphs = fileURLToPath(new URL('graphs/langgraph.json', import.meta.url));

async function startWorker(env: Record<string, string> = {}): Promise<AppProcess> {
  const worker = await startProcess('worker', {
    ...redis.env,
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

describe('kill -9 of a worker', () => {
  it('repeats no finished step, parallel siblings included', async () => {
    const first = await startWorker();
    ledger.hold('y');
    const { runId, thread } = await client.submit('siblings', { input: { text: 'k' }, ...configured() });
    await ledger.called('y');
    await Promise.all([ledger.called('x'), ledger.called('z')]);
    await client.storedWrites(thread, 2);
    await first.end('SIGKILL');
    ledger.release('y');
    await startWorker();
    const run = await client.end(runId);
    expect(run).toMatchObject({ status: 'succeeded', attempt: 2 });
    expect(['x', 'y', 'z', 'join'].map((step) => ledger.count(step))).toEqual([1, 2, 1, 1]);
    expect(await client.values(thread)).toMatchObject({ log: ['x:k', 'y:k', 'z:k', 'join:k'] });
    const events = await client.stream(runId);
    expect(events.map((event) => event.seq)).toEqual(events.map((_, i) => i + 1));
    expect(events.filter((event) => event.name === 'end')).toHaveLength(1);
  });

  it('does not let a run walk through a breakpoint', async () => {
    const first = await startWorker();
    ledger.hold('prepare');
    const { runId } = await client.submit('approval', configured());
    await ledger.called('prepare');
    await first.end('SIGKILL');
    ledger.release('prepare');
    await startWorker();
    expect((await client.end(runId)).status).toBe('interrupted');
    expect(ledger.count('pay')).toBe(0);
  });

  it('does not let a run walk through a breakpoint that its worker reached and did not tell of', async () => {
    const { runId, thread } = await client.submit('approval', configured());
    const by = { worker: 'dead', nonce: randomUUID(), leaseMs: 1, crashBudget: 3 };
    const claim = await client.store.claim(runId, by, { token: 0 });
    if (claim.outcome !== 'claimed') throw new Error(claim.outcome);
    const { lease } = claim;
    const prefix = redis.keys.checkpoints();
    await raiseFence(redis.checkpoints, { prefix, namespace: 't', threadId: thread }, lease);
    await client.store.begin(runId, lease, { base: '', head: '' });
    const saver = new RedisSaver(redis.checkpoints, { prefix }).withLease({ namespace: 't', lease, runId });
    approval.checkpointer = saver;
    await approval.invoke(
      { text: 'x' },
      { configurable: { ...configured().config.configurable, thread_id: thread } },
    );
    approval.checkpointer = false;
    expect((await client.checkpoints.head(thread))?.metadata.run_id).toBe(runId);
    await startWorker();
    const run = await client.end(runId);
    expect(run).toMatchObject({ status: 'interrupted', questions: [{ kind: 'breakpoint', node: 'pay' }] });
    expect([ledger.count('prepare'), ledger.count('pay')]).toEqual([1, 0]);
  });

  it('in the middle of an answered step asks nothing again', async () => {
    const first = await startWorker();
    const asked = await client.run('ask', configured());
    const [question] = asked.questions ?? [];
    ledger.hold('ask:answered');
    const { runId } = await client.submit(
      'ask',
      {
        answers: { [question?.id ?? '']: 'yes' },
        resume: { [question?.interruptId ?? '']: 'yes' },
        ...configured(),
      },
      { thread: asked.thread },
    );
    await ledger.called('ask:answered');
    await first.end('SIGKILL');
    ledger.release('ask:answered');
    await startWorker();
    expect((await client.end(runId)).status).toBe('succeeded');
    expect((await client.values(asked.thread)).log).toEqual(['ask:yes', 'after:']);
  });

  it('again and again at one step ends the run with the crash budget', async () => {
    ledger.hold('echo');
    const { runId } = await client.submit('echo', configured());
    for (let crash = 1; crash <= 3; crash++) {
      const worker = await startWorker({ CRASH_BUDGET: '2' });
      await ledger.called('echo', crash);
      await worker.end('SIGKILL');
    }
    await startWorker({ CRASH_BUDGET: '2' });
    expect(await client.end(runId)).toMatchObject({ status: 'failed', error: { code: 'crash_budget' } });
  });
});
