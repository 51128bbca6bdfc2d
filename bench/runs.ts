import { randomUUID } from 'node:crypto';
import { MemorySaver } from '@langchain/langgraph';
import { Client } from '@langchain/langgraph-sdk';
import { graph } from './graph.ts';
import { type Contender, compete, IN_FLIGHT, type Plan } from './measure.ts';
import type { Comparison } from './report.ts';
import type { Stage } from './stage.ts';

const input = { text: 'hello' };
const expected = 'You said: hello';

/** The same three scripts of the stock client against two servers, and what they do without any server. */
export async function measureRuns(stage: Stage, plan: Plan): Promise<Comparison[]> {
  const { gateway, worker } = await stage.millrace();
  const agentServer = await stage.agentServer();
  const sides: Side[] = [
    { name: 'Millrace', client: clientOf(gateway.url), pids: [gateway.pid, worker.pid, stage.redis.pid] },
    { name: 'langgraph-api, in memory', client: clientOf(agentServer.url), pids: [agentServer.pid] },
  ];
  const comparisons: Comparison[] = [];
  const compare = async (title: string, contenders: Contender[]) => {
    comparisons.push({ title, unit: 'runs', figures: await compete(contenders, plan) });
  };

  await compare('`runs.wait` without a thread', [
    ...sides.map(waitWithoutThread),
    inProcess(async () => valuesOf(await graph.invoke(input, threadConfig(randomUUID())))),
  ]);
  await compare('`runs.wait` on a thread', [
    ...sides.map(waitOnThread),
    inProcess(async (thread) => valuesOf(await graph.invoke(input, threadConfig(thread)))),
  ]);
  await compare('`runs.stream` without a thread, to its end', [
    ...sides.map(streamWithoutThread),
    inProcess(async () => {
      let last: unknown;
      const stream = await graph.stream(input, { ...threadConfig(randomUUID()), streamMode: 'values' });
      for await (const values of stream) last = values;
      valuesOf(last);
    }),
  ]);
  return comparisons;
}

interface Side {
  name: string;
  client: Client;
  pids: number[];
}

function clientOf(apiUrl: string): Client {
  // Its own default lets four calls through at a time, and its retries would hide failures.
  return new Client({ apiUrl, apiKey: null, callerOptions: { maxConcurrency: IN_FLIGHT, maxRetries: 0 } });
}

function waitWithoutThread({ client, ...side }: Side): Contender {
  return { ...side, once: async () => valuesOf(await client.runs.wait(null, 'bench', { input })) };
}

/** Each lane has a thread of its own, a new one in each slice. */
function waitOnThread({ client, ...side }: Side): Contender {
  let threads: string[] = [];
  return {
    ...side,
    before: async () => {
      const made = Array.from({ length: IN_FLIGHT }, () => client.threads.create());
      threads = (await Promise.all(made)).map((thread) => thread.thread_id);
    },
    once: async (lane) => {
      const options = { input, multitaskStrategy: 'enqueue' } as const;
      valuesOf(await client.runs.wait(threads[lane] ?? '', 'bench', options));
    },
  };
}

function streamWithoutThread({ client, ...side }: Side): Contender {
  return {
    ...side,
    once: async () => {
      let last: unknown;
      for await (const event of client.runs.stream(null, 'bench', { input, streamMode: 'values' })) {
        if (event.event === 'values') last = event.data;
      }
      valuesOf(last);
    },
  };
}

/** What LangGraph itself takes: in this process, with checkpoints in memory, and gone when it ends. */
function inProcess(run: (thread: string) => Promise<void>): Contender {
  let threads: string[] = [];
  return {
    name: '`graph.invoke` in one process, MemorySaver',
    before: async () => {
      graph.checkpointer = new MemorySaver();
      threads = Array.from({ length: IN_FLIGHT }, () => randomUUID());
    },
    once: (lane) => run(threads[lane] ?? ''),
    pids: [process.pid],
  };
}

function threadConfig(thread: string) {
  return { configurable: { thread_id: thread } };
}

/** A run that did not do its work must not count as a fast one. */
function valuesOf(values: unknown): void {
  const { answer } = (values ?? {}) as { answer?: unknown };
  if (answer !== expected) throw new Error(`a run gave ${JSON.stringify(values)}`);
}
