import { setTimeout as pause } from 'node:timers/promises';
import { Client } from '@langchain/langgraph-sdk';
import { Redis } from 'ioredis';
import { cpuMs } from './cpu.ts';
import { IN_FLIGHT } from './measure.ts';
import type { Sized } from './sizing-report.ts';
import { type Server, type Stage, workedOff } from './stage.ts';

const RUNS = 400;
const STEPS = 10;
const EVENTS = 100;
const IDLE_MS = 10_000;

/** CPU that one run, one step, one event, one submit takes of each process. */
export async function sizeCpu(
  stage: Stage,
  { rounds, signal }: { rounds: number; signal: AbortSignal },
): Promise<Sized[]> {
  const { gateway, worker } = await stage.millrace();
  const client = new Client({
    apiUrl: gateway.url,
    apiKey: null,
    callerOptions: { maxConcurrency: IN_FLIGHT, maxRetries: 0 },
  });
  const redis = new Redis(stage.redis.url);
  const meter = new CpuMeter(redis, { gateway, worker });
  const figures = new Figures();
  const work =
    (steps: number, events = 0) =>
    async () => {
      await client.runs.wait(null, 'steps', { input: { steps, events }, streamMode: 'custom' } as object);
    };
  try {
    for (let round = 0; round <= rounds; round++) {
      signal.throwIfAborted();
      const one = await meter.each(RUNS, work(1));
      const many = await meter.each(RUNS / 4, work(STEPS));
      const stream = async (events: number) => {
        for await (const _ of client.runs.stream(null, 'steps', {
          input: { steps: 1, events },
          streamMode: 'custom',
        }));
      };
      const quiet = await meter.each(RUNS, () => stream(0));
      const loud = await meter.each(RUNS / 4, () => stream(EVENTS));
      worker.send('SIGSTOP');
      const submit = await meter.each(RUNS, () => client.runs.create(null, 'steps', { input: { steps: 1 } }));
      worker.send('SIGCONT');
      await workedOff(gateway, signal);
      const idle = await meter.during(() => pause(IDLE_MS, undefined, { signal }));
      // Code is compiled in the first round.
      if (round === 0) continue;
      figures.add('a run of one step, answered by `wait`', one);
      figures.add('each further step', less(many, one, STEPS - 1));
      figures.add('each event that is streamed to one client', less(loud, quiet, EVENTS));
      figures.add('a submit alone', submit);
      figures.add('a second without work', scaled(idle, 1000 / IDLE_MS));
    }
  } finally {
    worker.send('SIGCONT');
    redis.disconnect();
  }
  return figures.list();
}

/** Milliseconds of CPU. Redis counts its main thread apart, which alone executes commands. */
interface Cpu {
  gateway: number;
  worker: number;
  redis: number;
}

class CpuMeter {
  readonly #redis: Redis;
  readonly #apps: { gateway: Server; worker: Server };

  constructor(redis: Redis, apps: { gateway: Server; worker: Server }) {
    this.#redis = redis;
    this.#apps = apps;
  }

  /** What one call costs, when so many are made and {@link IN_FLIGHT} are under way at once. */
  async each(times: number, call: () => Promise<unknown>): Promise<Cpu> {
    let started = 0;
    const lane = async () => {
      while (started++ < times) await call();
    };
    return scaled(await this.during(() => Promise.all(Array.from({ length: IN_FLIGHT }, lane))), 1 / times);
  }

  async during(work: () => Promise<unknown>): Promise<Cpu> {
    const before = await this.#read();
    await work();
    return less(await this.#read(), before);
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

  add(what: string, cpu: Cpu): void {
    for (const [process, ms] of Object.entries(cpu)) {
      const name = `${what}: ${process}`;
      const figure = this.#figures.get(name) ?? { what: name, unit: 'ms of CPU', rounds: [] };
      figure.rounds.push(ms);
      this.#figures.set(name, figure);
    }
  }

  list(): Sized[] {
    return [...this.#figures.values()];
  }
}
