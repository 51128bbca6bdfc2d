import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AppProcess } from '../processes.ts';
import type { Fleet, FleetRedis } from './fleet.ts';

/** A run that a gateway has acknowledged. */
export interface Acknowledged {
  runId: string;
  thread: string;
  /** `answer` for a run that answers what an `ask` asked, `approved` for one that passes a breakpoint. */
  graph: string;
  /** The text of its input; unique. */
  text: string;
}

export interface SendOptions {
  /** The order's idempotency key; a new one if absent. */
  key?: string;
  /** Send the order once more after it was acknowledged, as a client does that lost the reply. */
  again?: boolean;
  /** Ends the trying. */
  signal?: AbortSignal;
}

const REQUEST_MS = 10_000;

/**
 * A client that does not give up: it repeats a submit, with its idempotency key, at any gateway, until one says yes.
 * It logs every acknowledgement, and what it was told twice must be the same.
 */
export class LoadClient {
  readonly acknowledged: Acknowledged[] = [];
  /** What it was told that it should not have been. */
  readonly complaints: string[] = [];
  /** The statuses of answers that made it ask again, apart from those that never came. */
  readonly putOff = new Set<number>();
  readonly #fleet: Fleet<FleetRedis>;
  readonly #random: () => number;

  constructor(fleet: Fleet<FleetRedis>, random: () => number = Math.random) {
    this.#fleet = fleet;
    this.#random = random;
  }

  /** @returns once a gateway has accepted the run; undefined when `signal` came first */
  async submit(
    graph: string,
    thread: string,
    text: string,
    options?: Omit<SendOptions, 'signal'>,
  ): Promise<Acknowledged>;
  async submit(
    graph: string,
    thread: string,
    text: string,
    options: SendOptions,
  ): Promise<Acknowledged | undefined>;
  async submit(
    graph: string,
    thread: string,
    text: string,
    options: SendOptions = {},
  ): Promise<Acknowledged | undefined> {
    const body = { ...this.#order(graph), input: { text }, if_not_exists: 'create' };
    return this.#send({ graph, thread, text }, body, options);
  }

  /** Answers what a run has asked. */
  async answer(asked: Acknowledged, answer: string): Promise<Acknowledged>;
  async answer(asked: Acknowledged, answer: string, options: SendOptions): Promise<Acknowledged | undefined>;
  async answer(asked: Acknowledged, answer: string, options: SendOptions = {}) {
    const { graph, thread, text } = asked;
    const body = { ...this.#order(graph), command: { resume: answer } };
    return this.#send({ graph: 'answer', thread, text }, body, options);
  }

  /** Lets a run go on that stands at a breakpoint. */
  async goOn(asked: Acknowledged) {
    const { thread, text } = asked;
    const body = { ...this.#order(asked.graph), input: null };
    const run = await this.#send({ graph: 'approved', thread, text }, body, {});
    return run as Acknowledged;
  }

  /** Answers once more what was answered already, as an order of its own: it must be refused. */
  async answerTooLate({ graph, thread, runId }: Acknowledged, signal?: AbortSignal): Promise<void> {
    const body = { ...this.#order(graph), command: { resume: 'too late' } };
    const response = await this.#persist(`/threads/${thread}/runs`, randomUUID(), body, signal);
    if (response && response.status !== 409) {
      const text = await response.text();
      this.complaints.push(`${runId}: its question was answered, and again with ${response.status}: ${text}`);
    }
  }

  /** Waits at any gateway until the run has ended. @returns false when `signal` came first */
  async outcome({ runId, thread }: Acknowledged, signal?: AbortSignal): Promise<boolean> {
    while (!signal?.aborted) {
      const url = `${this.#gateway()?.url}/threads/${thread}/runs/${runId}/join`;
      const body = await fetch(url, { signal: within(signal) })
        .then(async (response) => (response.ok ? await response.json() : undefined))
        .catch(() => undefined);
      const { error } = (body as { __error__?: { error?: string } } | undefined)?.__error__ ?? {};
      if (body !== undefined && error !== 'unavailable' && error !== 'internal') return true;
      await sleep(50);
    }
    return false;
  }

  /** Waits until every acknowledged run has ended. */
  async settled(): Promise<void> {
    await Promise.all(this.acknowledged.map((run) => this.outcome(run)));
  }

  /** Submits to a random thread, `count` times, `width` at once; each thread in an order that the client knows. */
  async drive(options: { graph: string; threads: number; count: number; width: number }): Promise<void> {
    let next = 0;
    const lanes = Array.from({ length: options.width }, async (_, lane) => {
      // A lane has threads of its own, so that what it sends to a thread is in order.
      const mine = Array.from({ length: options.threads }, (_, i) => i).filter(
        (i) => i % options.width === lane,
      );
      while (next < options.count && mine.length > 0) {
        const number = next++;
        const thread = mine[Math.floor(this.#random() * mine.length)] ?? 0;
        await this.submit(options.graph, `thread-${thread}`, `n${number}`);
      }
    });
    await Promise.all(lanes);
  }

  #order(graph: string) {
    return {
      assistant_id: graph,
      stream_mode: ['updates'],
      config: { configurable: { ledger: this.#fleet.ledger.url } },
    };
  }

  async #send(
    order: Omit<Acknowledged, 'runId'>,
    body: unknown,
    { key = randomUUID(), again, signal }: SendOptions,
  ): Promise<Acknowledged | undefined> {
    const path = `/threads/${order.thread}/runs`;
    const response = await this.#persist(path, key, body, signal);
    if (!response) return undefined;
    if (response.status !== 200) {
      throw new Error(`${order.graph} refused with ${response.status}: ${await response.text()}`);
    }
    const { run_id } = (await response.json()) as { run_id: string };
    const run = { runId: run_id, ...order };
    this.acknowledged.push(run);
    const repeated = again ? await this.#persist(path, key, body, signal) : undefined;
    if (repeated) {
      const text = await repeated.text();
      if (!text.includes(`"run_id":"${run_id}"`)) {
        this.complaints.push(`${run_id}: the same order again gave ${repeated.status}: ${text}`);
      }
    }
    return run;
  }

  /** Asks until there is an answer that is not "later". */
  async #persist(
    path: string,
    key: string,
    body: unknown,
    signal?: AbortSignal,
  ): Promise<Response | undefined> {
    while (!signal?.aborted) {
      const response = await this.#post(path, key, body, signal);
      if (response && response.status < 500 && response.status !== 429) return response;
      if (response) this.putOff.add(response.status);
      await sleep(50);
    }
    return undefined;
  }

  #gateway(): AppProcess | undefined {
    const { gateways } = this.#fleet;
    return gateways[Math.floor(this.#random() * gateways.length)];
  }

  /** The response with its body read: a gateway that dies in the middle of one has not said it. */
  async #post(path: string, key: string, body: unknown, signal?: AbortSignal): Promise<Response | undefined> {
    const gateway = this.#gateway();
    if (!gateway) return undefined;
    return fetch(`${gateway.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
      body: JSON.stringify(body),
      signal: within(signal),
    })
      .then(async (response) => new Response(await response.text(), { status: response.status }))
      .catch(() => undefined);
  }
}

function within(signal: AbortSignal | undefined): AbortSignal {
  const timeout = AbortSignal.timeout(REQUEST_MS);
  return signal ? AbortSignal.any([signal, timeout]) : timeout;
}
