import { cpuMs } from './cpu.ts';

/** How many are under way at once when throughput is measured. */
export const IN_FLIGHT = 16;

export interface Contender {
  name: string;
  /** What is measured. `lane` is one of {@link IN_FLIGHT}; a lane's calls never overlap. */
  once: (lane: number) => Promise<unknown>;
  /** Around each of its slices, not measured. */
  before?: () => Promise<unknown>;
  after?: () => Promise<unknown>;
  /** Most calls in one slice: what is started has to be worked off again. */
  most?: number;
  /** The processes that do the work, and nothing else; without, what it costs them is not told. */
  pids?: number[];
}

/** What one slice showed. */
export interface Sample {
  /** Of one at a time, in milliseconds. */
  p50: number;
  p95: number;
  /** With {@link IN_FLIGHT} under way. */
  perSecond: number;
  /** Milliseconds of CPU for each, over all its processes, with {@link IN_FLIGHT} under way. */
  cpuMs: number | undefined;
}

export interface Figures extends Sample {
  name: string;
  rounds: Sample[];
}

export interface Plan {
  rounds: number;
  sliceMs: number;
  signal: AbortSignal;
}

/** Lets contenders take turns, so that what else the machine does meets them all; gives the medians of the rounds. */
export async function compete(contenders: Contender[], plan: Plan): Promise<Figures[]> {
  const samples = new Map<Contender, Sample[]>(contenders.map((one) => [one, []]));
  // Code is compiled, connections are opened: the first round does not count.
  for (let round = 0; round <= plan.rounds; round++) {
    // Nobody is always the one that comes after the slowest.
    const order = contenders.map((_, i) => contenders[(i + round) % contenders.length]);
    for (const contender of order) {
      if (!contender) continue;
      const sample = await measure(contender, plan);
      if (round > 0) samples.get(contender)?.push(sample);
    }
  }
  return contenders.map((one) => summarize(one.name, samples.get(one) ?? []));
}

async function measure(contender: Contender, plan: Plan): Promise<Sample> {
  const { sliceMs, signal } = plan;
  const { most = Number.POSITIVE_INFINITY } = contender;
  const latencies: number[] = [];
  signal.throwIfAborted();
  await contender.before?.();
  for (const end = performance.now() + sliceMs; latencies.length < most; ) {
    const start = performance.now();
    await contender.once(0);
    const now = performance.now();
    latencies.push(now - start);
    if (now > end || signal.aborted) break;
  }
  await contender.after?.();
  signal.throwIfAborted();
  await contender.before?.();
  const { pids } = contender;
  let started = 0;
  const cpuBefore = pids && cpuMs(pids);
  const begin = performance.now();
  const lanes = Array.from({ length: IN_FLIGHT }, async (_, lane) => {
    while (started < most && performance.now() - begin < sliceMs && !signal.aborted) {
      started++;
      await contender.once(lane);
    }
  });
  await Promise.all(lanes);
  const seconds = (performance.now() - begin) / 1000;
  await contender.after?.();
  // What it leaves to be done later is part of what it costs.
  const cpuAfter = pids && cpuMs(pids);
  latencies.sort((a, b) => a - b);
  return {
    p50: quantile(latencies, 0.5),
    p95: quantile(latencies, 0.95),
    perSecond: started / seconds,
    cpuMs: cpuBefore === undefined || cpuAfter === undefined ? undefined : (cpuAfter - cpuBefore) / started,
  };
}

function summarize(name: string, rounds: Sample[]): Figures {
  const cpu = rounds.flatMap((one) => one.cpuMs ?? []);
  return {
    name,
    p50: median(rounds.map((one) => one.p50)),
    p95: median(rounds.map((one) => one.p95)),
    perSecond: median(rounds.map((one) => one.perSecond)),
    cpuMs: cpu.length > 0 ? median(cpu) : undefined,
    rounds,
  };
}

function median(values: number[]): number {
  return quantile(
    values.toSorted((a, b) => a - b),
    0.5,
  );
}

/** Of numbers in ascending order. */
function quantile(sorted: number[], share: number): number {
  const at = (sorted.length - 1) * share;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}
