import { fileURLToPath } from 'node:url';
import { RedisSaver } from '@millrace/checkpoint-redis';
import { createLogger } from '@millrace/shared/logger';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createServices, type Services } from '../../apps/gateway/src/services.ts';
import { submitRun } from '../../apps/gateway/src/use-cases/submit-run.ts';
import { makeTestProject, type TestProject } from '../../apps/worker/src/loader/test-project.ts';
import { StoreClient } from '../client.ts';
import { type Ledger, startLedger } from '../ledger.ts';
import { type AppProcess, startProcess } from '../processes.ts';
import { sweepUntil } from '../sweeping.ts';

let redis: TestRedis;
let client: StoreClient;
let ledger: Ledger;
let project: TestProject | undefined;
let processes: AppProcess[];
let services: Services;
let stopSweeping: () => Promise<void>;

const graphs = fileURLToPath(new URL('../graphs/langgraph.json', import.meta.url));

const source = `
import { Annotation, END, entrypoint, interrupt, START, StateGraph, task } from '@langchain/langgraph';
const State = Annotation.Root({
  text: Annotation<string>,
  log: Annotation<string[]>({ reducer: (all, more) => all.concat(more), default: () => [] }),
});
async function call(step, config) {
  const { ledger, run_id } = config.configurable ?? {};
  if (typeof ledger === 'string') {
    await (await fetch(ledger, { method: 'POST', body: JSON.stringify({ step, run: run_id }), signal: config.signal })).text();
  }
}
const step = (name) => async (state, config) => { await call(name, config); return { log: [name] }; };

const paying = new StateGraph(State)
  .addNode('prepare', step('prepare'))
  .addNode('pay', step('pay'))
  .addEdge(START, 'prepare')
  .addEdge('prepare', 'pay')
  .addEdge('pay', END)
  .compile({ interruptBefore: ['pay'] });
export const inner_approval = new StateGraph(State)
  .addNode('outer', paying)
  .addNode('slow', step('slow'))
  .addEdge(START, 'outer')
  .addEdge(START, 'slow')
  .addEdge('outer', END)
  .addEdge('slow', END);

export const inner_and_ask = new StateGraph(State)
  .addNode('outer', paying)
  .addNode('ask', async () => ({ log: ['ask:' + interrupt('sure?')] }))
  .addEdge(START, 'outer')
  .addEdge(START, 'ask')
  .addEdge('outer', END)
  .addEdge('ask', END);

const asker = task('asker', async () => {
  const first = interrupt('first?');
  const second = interrupt('second?');
  return first + '+' + second;
});
export const functional = entrypoint('functional', async () => ({ answer: await asker() }));

const sides = new StateGraph(State)
  .addNode('x', step('x'))
  .addNode('y', step('y'))
  .addEdge(START, 'x')
  .addEdge(START, 'y')
  .addEdge('x', END)
  .addEdge('y', END)
  .compile();
export const deep = new StateGraph(State).addNode('outer', sides).addEdge(START, 'outer').addEdge('outer', END);
`;

async function ownProject(): Promise<string> {
  project = await makeTestProject();
  await project.write('package.json', { type: 'module' });
  await project.write('graphs.ts', source);
  const names = ['inner_approval', 'inner_and_ask', 'functional', 'deep'];
  return project.write('langgraph.json', {
    node_version: '20',
    dependencies: ['.'],
    graphs: Object.fromEntries(names.map((name) => [name, { path: `./graphs.ts:${name}` }])),
  });
}

async function startWorker(config = graphs): Promise<AppProcess> {
  const worker = await startProcess('worker', {
    ...redis.env,
    LANGGRAPH_CONFIG: config,
    LEASE_SECONDS: '1',
  });
  processes.push(worker);
  return worker;
}

beforeEach(async () => {
  redis = await testRedis();
  client = new StoreClient(redis);
  ledger = await startLedger();
  processes = [];
  services = createServices({
    redis: redis.redis,
    checkpointRedis: redis.checkpoints,
    subscriber: redis.subscriber(),
    keys: redis.keys,
    logger: createLogger('test', 'silent'),
  });
  stopSweeping = sweepUntil(client);
});

afterEach(async () => {
  await stopSweeping();
  await Promise.all(processes.map((one) => one.end('SIGKILL')));
  await ledger.close();
  await services.close();
  await client.close();
  await redis.close();
  await project?.remove();
  project = undefined;
});

const configured = () => ({ config: { configurable: { ledger: ledger.url } } });

describe('nothing passes an approval that nobody gave', () => {
  it('when the answer to one breakpoint is sent twice, and the run stops at the next', async () => {
    await startWorker();
    const stops = { interruptBefore: ['b', 'c'] };
    const asked = await client.run('chain', { ...stops, ...configured() });
    expect(asked.questions).toMatchObject([{ kind: 'breakpoint', node: 'b' }]);
    const goOn = () =>
      submitRun(services, {
        tenant: 't',
        assistant: 'chain',
        thread: asked.thread,
        input: null,
        streamModes: [],
        ...stops,
        ...configured(),
      });
    ledger.hold('b');
    const first = await goOn();
    await ledger.called('b');
    // A second click, on the same button, for the same breakpoint.
    const second = await goOn().catch(() => undefined);
    ledger.release('b');
    expect((await client.end(first.runId)).status).toBe('interrupted');
    if (second) await client.end(second.runId);
    expect(ledger.count('c')).toBe(0);
  });

  it('when the worker dies while a sub-graph stands at its own breakpoint', async () => {
    const config = await ownProject();
    const first = await startWorker(config);
    ledger.hold('slow');
    const { runId, thread } = await client.submit('inner_approval', configured());
    await Promise.all([ledger.called('slow'), ledger.called('prepare')]);
    const saver = new RedisSaver(redis.checkpoints, { prefix: redis.keys.checkpoints(), namespace: 't' });
    for (let prepared = false; !prepared; ) {
      const inner = (await saver.namespaces(thread)).find((one) => one !== '');
      const tuple =
        inner && (await saver.getTuple({ configurable: { thread_id: thread, checkpoint_ns: inner } }));
      prepared = Boolean(tuple && (tuple.checkpoint.channel_values.log as string[])?.includes('prepare'));
    }
    await first.end('SIGKILL');
    ledger.release('slow');
    await startWorker(config);
    const run = await client.end(runId);
    expect(ledger.count('pay')).toBe(0);
    expect(run.status).toBe('interrupted');
  });

  it('when somebody answers the question of a step beside a sub-graph that stands at its own breakpoint', async () => {
    await startWorker(await ownProject());
    const asked = await client.run('inner_and_ask', configured());
    expect(asked.status).toBe('interrupted');
    const question = asked.questions?.find((one) => one.node === 'ask');
    const answer: { answers: Record<string, string>; resume: Record<string, string> } = {
      answers: { [question?.id ?? '']: 'yes' },
      resume: { [question?.interruptId ?? '']: 'yes' },
    };
    const alone = client.submit('inner_and_ask', { ...answer, ...configured() }, { thread: asked.thread });
    await expect(alone).rejects.toThrow('incomplete');
    expect(ledger.count('pay')).toBe(0);
    for (const one of asked.questions ?? []) answer.answers[one.id] = 'yes';
    const run = await client.run('inner_and_ask', { ...answer, ...configured() }, { thread: asked.thread });
    expect(run.status).toBe('succeeded');
    expect(ledger.count('pay')).toBe(1);
  });
});

it('every question of a functional task can be answered', async () => {
  const config = await ownProject();
  await startWorker(config);
  const statuses: string[] = [];
  for (let n = 0; n < 6; n++) {
    let run = await client.run('functional', configured());
    const { thread } = run;
    for (const text of ['one', 'two']) {
      const [question] = run.questions ?? [];
      const answer = {
        answers: { [question?.id ?? '']: text },
        resume: { [question?.interruptId ?? '']: text },
      };
      try {
        run = { ...(await client.run('functional', { ...answer, ...configured() }, { thread })), thread };
      } catch (error) {
        statuses.push(String(error));
        break;
      }
    }
    statuses.push(run.status);
  }
  expect(statuses).toEqual(Array.from({ length: 6 }, () => 'succeeded'));
});

it('kill -9 repeats no stored step of a sub-graph, parallel siblings included', async () => {
  const config = await ownProject();
  const first = await startWorker(config);
  ledger.hold('y');
  const { runId, thread } = await client.submit('deep', configured());
  await Promise.all([ledger.called('x'), ledger.called('y')]);
  const saver = new RedisSaver(redis.checkpoints, { prefix: redis.keys.checkpoints(), namespace: 't' });
  for (let stored = false; !stored; ) {
    for (const ns of await saver.namespaces(thread)) {
      const tuple = await saver.getTuple({ configurable: { thread_id: thread, checkpoint_ns: ns } });
      if (tuple?.pendingWrites?.some(([, channel, value]) => channel === 'log' && String(value) === 'x'))
        stored = true;
    }
  }
  await first.end('SIGKILL');
  ledger.release('y');
  await startWorker(config);
  expect((await client.end(runId)).status).toBe('succeeded');
  expect([ledger.count('x'), ledger.count('y')]).toEqual([1, 2]);
});
