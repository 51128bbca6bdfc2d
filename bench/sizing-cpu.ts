import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Client } from '@langchain/langgraph-sdk';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { cpuMs } from './cpu.ts';
import { IN_FLIGHT } from './measure.ts';
import type { Sized } from './sizing-report.ts';
import { CONCURRENCY, type Server, type Stage, workedOff } from './stage.ts';

const RUNS = 400;
const STEPS = 10;
const EVENTS = 100;
const IDLE_MS = 5000;

/** CPU that one run, one step, one event, one submit takes of each process. */
export async function sizeCpu(
  stage: Stage,
  { rounds, signal }: { rounds: number; signal: AbortSignal },
): Promise<Sized[]> {
  const { gateway, worker } = await stage.millrace();
  const options = { maxConcurrency: IN_FLIGHT, maxRetries: 0 };
  const client = new Client({ apiUrl: gateway.url, apiKey: null, callerOptions: options });
  const redis = new Redis(stage.redis.url);
  const meter = new CpuMeter(redis, { gateway, worker });
  const figures = new Figures();
  const wait = (steps: number) => () => client.runs.wait(null, 'steps', { input: { steps } });
  const stream = (events: number) => async () => {
    const input = { steps: 1, events };
    for await (const _ of client.runs.stream(null, 'steps', { input, streamMode: 'custom' }));
  };
  const jobs = new Jobs(redis);
  try {
    for (let round = 0; round <= rounds; round++) {
      signal.throwIfAborted();
      const idle = await meter.rest(() => pause(IDLE_MS, undefined, { signal }));
      const one = await meter.each(RUNS, wait(1));
      const many = await meter.each(RUNS / 4, wait(STEPS));
      const quiet = await meter.each(RUNS, stream(0));
      const loud = await meter.each(RUNS / 10, stream(EVENTS));
      worker.send('SIGSTOP');
      const submit = await meter.each(RUNS, () => client.runs.create(null, 'steps', { input: { steps: 1 } }));
      worker.send('SIGCONT');
      await workedOff(gateway, signal);
      const job = await meter.each(RUNS, jobs.once);
      // Code is compiled in the first round.
      if (round === 0) continue;
      const all = ['gateway', 'worker', 'redis'] as const;
      figures.add('a run of one step, answered by `wait`', one, all);
      figures.add('each further step', less(many, one, STEPS - 1), all);
      figures.add(
        'each event, streamed to one client as a model gives tokens',
        less(loud, quiet, EVENTS),
        all,
      );
      figures.add('of a run, its submit', submit, ['gateway', 'redis']);
      figures.add('of a run, a job in BullMQ', job, ['redis']);
      figures.add('a second without work', scaled(idle, 1000), all);
    }
  } finally {
    worker.send('SIGCONT');
    await jobs.close();
    redis.disconnect();
  }
  return figures.list();
}

/** Jobs as those that wake workers, without Millrace: they stay in one slot of a cluster. */
class Jobs {
  readonly #connection: Redis;
  readonly #queue: Queue;
  readonly #worker: Worker;
  readonly #waiting = new Map<string | undefined, () => void>();

  constructor(redis: Redis) {
    const connection = redis.duplicate({ maxRetriesPerRequest: null });
    this.#connection = connection;
    this.#queue = new Queue('sizing', { connection });
    this.#worker = new Worker('sizing', async ({ id }) => this.#waiting.get(id)?.(), {
      connection,
      concurrency: CONCURRENCY,
    });
  }

  readonly once = async (): Promise<void> => {
    const jobId = randomUUID();
    const done = new Promise<void>((resolve) => this.#waiting.set(jobId, resolve));
    await this.#queue.add('run', {}, { jobId, removeOnComplete: true });
    await done;
    this.#waiting.delete(jobId);
  };

  async close(): Promise<void> {
    await Promise.all([this.#worker.close(), this.#queue.close()]);
    this.#connection.disconnect();
  }
}

/** Milliseconds of CPU. Redis counts its main thread apart, which alone executes commands. */
interface Cpu {
  gateway: number;
  worker: number;
  redis: number;
}

const nothing: Cpu = { gateway: 0, worker: 0, redis: 0 };

class CpuMeter {
  readonly #redis: Redis;
  readonly #apps: { gateway: Server; worker: Server };
  /** Of a millisecond. */
  #idle = nothing;

  constructor(redis: Redis, apps: { gateway: Server; worker: Server }) {
    this.#redis = redis;
    this.#apps = apps;
  }

  /** What a millisecond without work costs; from then on it is taken off. */
  async rest(wait: () => Promise<unknown>): Promise<Cpu> {
    this.#idle = nothing;
    const began = performance.now();
    const used = await this.#during(wait);
    this.#idle = scaled(used, 1 / (performance.now() - began));
    return this.#idle;
  }

  /** What one call costs, when so many are made and {@link IN_FLIGHT} are under way at once. */
  async each(times: number, call: () => Promise<unknown>): Promise<Cpu> {
    let started = 0;
    const lane = async () => {
      while (started++ < times) await call();
    };
    const used = await this.#during(() => Promise.all(Array.from({ length: IN_FLIGHT }, lane)));
    return scaled(used, 1 / times);
  }

  async #during(work: () => Promise<unknown>): Promise<Cpu> {
    const began = performance.now();
    const before = await this.#read();
    await work();
    const used = less(await this.#read(), before);
    return less(used, scaled(this.#idle, performance.now() - began));
  }

  async #read(): Promise<Cpu> {
    const info = await this.#redis.info('cpu');
    const used = (kind: string) =>
      Number(new RegExp(`^used_cpu_${kind}_main_thread:(.*?)\r?$`, 'm').exec(info)?.[1]);
    const of = ({ pid }: Server) => cpuMs([pid]) ?? Number.NaN;
    const { gateway, worker } = this.#apps;
    return { gateway: of(gateway), worker: of(worker), redis: 1000 * (used('user') + used('sys')) };
  }
}

function scaled(cpu: Cpu, by: number): Cpu {
  return { gateway: cpu.gateway * by, worker: cpu.worker * by, redis: cpu.redis * by };
}

/** The difference, of so many. */
function less(more: Cpu, base: Cpu, count = 1): Cpu {
  const one = (name: keyof Cpu) => (more[name] - base[name]) / count;
  return { gateway: one('gateway'), worker: one('worker'), redis: one('redis') };
}

class Figures {
  readonly #figures = new Map<string, Sized>();

  /** @param of the processes that have a part in it */
  add(what: string, cpu: Cpu, of: readonly (keyof Cpu)[]): void {
    for (const process of of) {
      const name = `${what} ${process}`;
      const figure = this.#figures.get(name) ?? { what, of: process, rounds: [] };
      figure.rounds.push(cpu[process]);
      this.#figures.set(name, figure);
    }
  }

  list(): Sized[] {
    return [...this.#figures.values()];
  }
}
