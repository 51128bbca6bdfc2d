import { randomUUID } from 'node:crypto';
import type { RunRequest } from '@millrace/shared/contract/run';
import { Keys } from '@millrace/shared/keys';
import { partitionOfThread } from '@millrace/shared/partition';
import type { Lease, Submission } from '@millrace/shared/run-moves';
import { RunStore } from '@millrace/shared/run-store';
import type { Redis } from 'ioredis';
import { type Cost, Meter } from './meter.ts';

const request: RunRequest = {
  kind: 'graph',
  graph: 'g',
  assistantId: 'a',
  input: { text: 'x' },
  streamModes: [],
};

/** Enough at once to keep Redis busy. */
const WIDTH = 64;

export const storeMoves = ['submit', 'poll', 'list', 'sweep', 'execute', 'cancel'] as const;
export type StoreMove = (typeof storeMoves)[number];

/** The run store on a Redis that has much in it. */
export class StoreCost {
  readonly store: RunStore;
  readonly keys = new Keys();
  readonly #meter: Meter;

  constructor(redis: Redis) {
    this.store = new RunStore(redis, { keys: this.keys });
    this.#meter = new Meter(redis);
  }

  async accept(thread: string, more: Partial<Submission> = {}): Promise<string> {
    const options = { createThread: true, queue: 'default', multitask: 'enqueue' as const };
    const result = await this.store.submit({ tenant: 't', thread, request, ...options, ...more });
    if (result.outcome !== 'accepted') throw new Error(`refused: ${result.outcome}`);
    return result.runId;
  }

  async claim(runId: string): Promise<Lease> {
    const by = { worker: 'w', nonce: randomUUID(), leaseMs: 60_000, crashBudget: 3 };
    const result = await this.store.claim(runId, by, { token: 0, head: '' });
    if (result.outcome !== 'claimed') throw new Error(`not claimed: ${result.outcome}`);
    return result.lease;
  }

  /** What a worker does, without the graph. */
  async execute(runId: string): Promise<void> {
    const lease = await this.claim(runId);
    await this.store.emit(runId, lease, 1, [
      { name: 'metadata', data: '{"run_id":"","attempt":1}' },
      { name: 'updates', data: '{"answer":{"text":"x"}}' },
    ]);
    await this.store.finish(runId, lease, { status: 'succeeded', answer: 'x' });
  }

  /** Runs to their end, many at once; no two at once on one thread. */
  async finished(
    count: number,
    threadOf: (lane: number, i: number) => string,
    more: Partial<Submission> = {},
  ) {
    const lanes = Array.from({ length: WIDTH }, async (_, lane) => {
      for (let i = lane; i < count; i += WIDTH)
        await this.execute(await this.accept(threadOf(lane, i), more));
    });
    await Promise.all(lanes);
  }

  /**
   * What each move costs. New runs come to the thread, or to one of their own each if there is none.
   *
   * @param queue the runs that wait on the thread; then those are executed, and the new ones cancelled
   */
  async moves(times: number, thread?: string, queue: string[] = []): Promise<Record<StoreMove, Cost>> {
    const { store } = this;
    const name = randomUUID();
    const threadOf = (i: number) => thread ?? `${name}-${i}`;
    const measure = (call: (i: number) => Promise<unknown>) => this.#meter.cost(times, call);
    const fresh: string[] = [];
    const submit = await measure(async (i) => fresh.push(await this.accept(threadOf(i))));
    const poll = await measure((i) => store.read.run('t', fresh[i] ?? ''));
    const list = await measure((i) => store.read.runsOfThread('t', threadOf(i), { limit: 10, offset: 0 }));
    const sweep = await measure((i) =>
      store.sweep(partitionOfThread(threadOf(i)), { limit: 100, ringAfterMs: 3600_000 }),
    );
    const first = queue.length > 0 ? queue : fresh;
    const execute = await measure((i) => this.execute(first[i] ?? ''));
    const last = [...fresh];
    if (queue.length === 0) for (let i = 0; i < times; i++) last[i] = await this.accept(threadOf(i));
    const cancel = await measure((i) => store.cancel(last[times - 1 - i] ?? ''));
    return { submit, poll, list, sweep, execute, cancel };
  }
}
