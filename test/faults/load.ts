import { randomUUID } from 'node:crypto';
import type { AppProcess } from '../processes.ts';
import type { Fleet } from './fleet.ts';

/** A run that a gateway has acknowledged. */
export interface Acknowledged {
  runId: string;
  thread: string;
  graph: string;
  /** The text of its input; unique. */
  text: string;
}

/**
 * A client that does not give up: it repeats a submit, with its idempotency key, at any gateway, until one says yes.
 * It logs every acknowledgement, and what it was told twice must be the same.
 */
export class LoadClient {
  readonly acknowledged: Acknowledged[] = [];
  readonly #fleet: Fleet;
  readonly #random: () => number;

  constructor(fleet: Fleet, random: () => number = Math.random) {
    this.#fleet = fleet;
    this.#random = random;
  }

  /** @returns once a gateway has accepted the run */
  async submit(graph: string, thread: string, text: string): Promise<Acknowledged> {
    const key = randomUUID();
    for (;;) {
      const response = await this.#post(this.#gateway(), `/threads/${thread}/runs`, key, {
        assistant_id: graph,
        input: { text },
        if_not_exists: 'create',
        stream_mode: ['updates'],
        config: { configurable: { ledger: this.#fleet.ledger.url } },
      });
      if (response?.status === 200) {
        const { run_id } = (await response.json()) as { run_id: string };
        const run = { runId: run_id, thread, graph, text };
        this.acknowledged.push(run);
        return run;
      }
      if (response && response.status < 500 && response.status !== 429) {
        throw new Error(`refused with ${response.status}: ${await response.text()}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
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

  #gateway(): AppProcess | undefined {
    const { gateways } = this.#fleet;
    return gateways[Math.floor(this.#random() * gateways.length)];
  }

  async #post(
    gateway: AppProcess | undefined,
    path: string,
    key: string,
    body: unknown,
  ): Promise<Response | undefined> {
    if (!gateway) return undefined;
    return fetch(`${gateway.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    }).catch(() => undefined);
  }
}
