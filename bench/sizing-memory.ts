import { readFileSync } from 'node:fs';
import { type ClientRequest, request } from 'node:http';
import { Client } from '@langchain/langgraph-sdk';
import { Keys } from '@millrace/shared/keys';
import { Redis } from 'ioredis';
import { IN_FLIGHT } from './measure.ts';
import type { Sized } from './sizing-report.ts';
import { type Server, type Stage, workedOff } from './stage.ts';

const RUNS = 1000;
const THREADS = 300;
const TURNS = 6;
const LONG_THREADS = 50;
const STEPS = { few: 11, many: 51 };
const STREAMS = { first: 500, last: 2000 };

/** Memory that things take of Redis, and processes of the machine: one round, on a stage that nothing has used. */
export async function sizeMemory(stage: Stage, signal: AbortSignal): Promise<Sized[]> {
  const { gateway, worker } = await stage.millrace();
  const client = new Client({
    apiUrl: gateway.url,
    apiKey: null,
    callerOptions: { maxConcurrency: IN_FLIGHT, maxRetries: 0 },
  });
  const redis = new Redis(stage.redis.url);
  const figures: Sized[] = [];
  const tell = (what: string, bytes: number) => figures.push({ what, rounds: [bytes] });
  const grown = async (work: () => Promise<unknown>) => {
    const before = await stored(redis);
    await work();
    return (await stored(redis)) - before;
  };
  const turn = (thread: string | null, steps: number) =>
    client.runs.wait(thread as string, 'steps', { input: { steps } });
  const threads = async (count: number, steps: number[]) =>
    inLanes(count, async () => {
      const { thread_id } = await client.threads.create();
      for (const each of steps) await turn(thread_id, each);
    });
  try {
    tell('a worker that has just started, RSS', rss(worker));
    tell('a gateway that has just started, RSS', rss(gateway));
    await inLanes(RUNS / 5, () => turn(null, 1));
    await threads(IN_FLIGHT, [1]);
    await workedOff(gateway, signal);

    worker.send('SIGSTOP');
    const submit = () => client.runs.create(null, 'steps', { input: { steps: 1 } });
    const queued = await grown(() => inLanes(RUNS, submit));
    tell('a run that waits for a worker', queued / RUNS);
    worker.send('SIGCONT');
    const left = await grown(() => workedOff(gateway, signal));
    tell('a finished run without a thread', (queued + left) / RUNS);

    const short = await grown(() => threads(THREADS, [1]));
    const before = await ofCheckpoints(redis);
    const long = await grown(() => threads(THREADS, Array<number>(TURNS).fill(1)));
    tell('an idle thread after one turn', short / THREADS);
    tell('each further turn of one step', (long - short) / THREADS / (TURNS - 1));
    tell('of a turn, its checkpoints', ((await ofCheckpoints(redis)) - before) / THREADS / TURNS);
    const few = await grown(() => threads(LONG_THREADS, [STEPS.few]));
    const many = await grown(() => threads(LONG_THREADS, [STEPS.many]));
    const checkpoints = LONG_THREADS * (STEPS.many - STEPS.few);
    tell('a checkpoint whose step has changed 1,000 bytes', (many - few) / checkpoints);

    worker.send('SIGSTOP');
    const streams = new Streams(gateway.url);
    try {
      await streams.open(STREAMS.first);
      const held = rss(gateway);
      await streams.open(STREAMS.last - STREAMS.first);
      const each = (rss(gateway) - held) / (STREAMS.last - STREAMS.first);
      tell('an open stream, of a gateway', each);
      tell(`a gateway with ${STREAMS.last} open streams, RSS`, rss(gateway));
    } finally {
      streams.close();
    }
    return figures;
  } finally {
    worker.send('SIGCONT');
    redis.disconnect();
  }
}

/** What Redis stores, without what its connections and its log hold for a moment. */
async function stored(redis: Redis): Promise<number> {
  const info = await redis.info('memory');
  const read = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0);
  return read('used_memory') - read('mem_clients_normal') - read('mem_aof_buffer');
}

async function ofCheckpoints(redis: Redis): Promise<number> {
  let bytes = 0;
  for await (const page of redis.scanStream({ match: `${new Keys().checkpoints()}*`, count: 1000 })) {
    const sizes = (page as string[]).map((key) => redis.memory('USAGE', key, 'SAMPLES', 0));
    bytes += (await Promise.all(sizes)).reduce<number>((sum, size) => sum + Number(size), 0);
  }
  return bytes;
}

async function inLanes(times: number, call: () => Promise<unknown>): Promise<void> {
  let started = 0;
  const lane = async () => {
    while (started++ < times) await call();
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
}

/** Bytes that a process has in memory. */
function rss({ pid }: Server): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

/** Clients that read the events of a run of their own. */
class Streams {
  readonly #url: string;
  readonly #open: ClientRequest[] = [];

  constructor(url: string) {
    this.#url = url;
  }

  async open(count: number): Promise<void> {
    for (let i = 0; i < count; i += IN_FLIGHT) {
      await Promise.all(Array.from({ length: Math.min(IN_FLIGHT, count - i) }, () => this.#one()));
    }
  }

  close(): void {
    for (const one of this.#open) one.destroy();
  }

  #one(): Promise<void> {
    const body = JSON.stringify({ assistant_id: 'steps', input: { steps: 1 } });
    return new Promise((resolve, reject) => {
      const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
      const sent = request(
        `${this.#url}/runs/stream`,
        { method: 'POST', agent: false, headers },
        (response) => {
          response.on('error', () => undefined).resume();
          if (response.statusCode === 200) resolve();
          else reject(new Error(`a stream was answered ${response.statusCode}`));
        },
      );
      sent.on('error', reject);
      sent.end(body);
      this.#open.push(sent);
    });
  }
}
