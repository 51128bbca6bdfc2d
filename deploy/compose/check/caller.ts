import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { events } from '../../../test/sse-events.ts';

/** One request may wait this long for its answer, and some more. */
const REQUEST_MS = 45_000;
const RETRY_MS = 200;

/** What the slow graph says when each of its steps was stored once. */
const ANSWER = 'one two three';

interface View {
  run_id: string;
  status: string;
  answer?: string | null;
}

interface Verdict {
  /** What is wrong. */
  problems: string[];
  /** By how many leases its events were written. */
  attempts: number;
}

/** A caller that does not give up: it sends an order again, with its idempotency key, until it is accepted. */
export class Caller {
  /** Runs that were accepted. */
  readonly accepted: string[] = [];
  /** What was answered or happened instead, and how often; each was tried again. */
  readonly refusals: Record<string, number> = {};
  readonly #url: string;
  readonly #key: string;

  constructor({ url, key }: { url: string; key: string }) {
    this.#url = url;
    this.#key = key;
  }

  /** Orders run after run, `lanes` at once, until `signal`. Every second lane waits for its answers. */
  async drive(lanes: number, signal: AbortSignal): Promise<void> {
    const lane = async (_: unknown, number: number) => {
      while (!signal.aborted) {
        await this.order(number % 2 === 0 ? 'wait=20' : 'respond-async');
        // Who does not wait would flood the queue.
        if (number % 2 === 1) await sleep(2000);
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  }

  async order(prefer: string): Promise<string> {
    const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': randomUUID(), Prefer: prefer };
    const body = JSON.stringify({ graph: 'slow', query: 'go' });
    const { run_id } = await this.#persist('/message', { method: 'POST', headers, body });
    this.accepted.push(run_id);
    return run_id;
  }

  /** Waits for a run's end, `limitMs` at most, and looks whether it succeeded, once, with each step once. */
  async verdict(runId: string, limitMs: number): Promise<Verdict> {
    const enough = Date.now() + limitMs;
    const look = () => {
      const seconds = Math.max(0, Math.min(20, Math.ceil((enough - Date.now()) / 1000)));
      return this.#persist(`/message/${runId}?wait=${seconds}`, {});
    };
    let view = await look();
    while (['queued', 'running'].includes(view.status) && Date.now() < enough) view = await look();
    if (view.status !== 'succeeded') return { problems: [`${runId} is ${view.status}`], attempts: 0 };
    const problems = view.answer === ANSWER ? [] : [`${runId} has said ${view.answer}`];
    const ends: string[] = [];
    const leases = new Set<string | undefined>();
    for await (const { id, name, data } of await this.stream(runId)) {
      leases.add(id.split('-')[1]);
      if (name === 'end') ends.push(data);
    }
    if (ends.join() !== '{"status":"succeeded"}') problems.push(`${runId} has ended with ${ends.join()}`);
    return { problems, attempts: leases.size };
  }

  /** A run's events from the first on. */
  async stream(runId: string) {
    const response = await this.#fetch(`/message/${runId}`, { headers: { Accept: 'text/event-stream' } });
    return events(response);
  }

  /** Whether a new run's first event comes while it still executes, and not all in one lump at its end. */
  async seesEventsEarly(): Promise<boolean> {
    const runId = await this.order('respond-async');
    for await (const { name } of await this.stream(runId)) {
      if (name === 'end') return false;
      const { status } = await this.#persist(`/message/${runId}`, {});
      return status === 'running' || status === 'queued';
    }
    return false;
  }

  async #persist(path: string, init: RequestInit): Promise<View> {
    for (;;) {
      try {
        const response = await this.#fetch(path, init);
        const text = await response.text();
        if (response.ok) return JSON.parse(text) as View;
        if (response.status < 500 && response.status !== 429)
          throw new Refused(`${path}: ${response.status} ${text}`);
        this.#count(`${response.status}`);
      } catch (error) {
        if (error instanceof Refused) throw error;
        const { cause, name } = error as Error & { cause?: { code?: string } };
        this.#count(cause?.code ?? name);
      }
      await sleep(RETRY_MS);
    }
  }

  #fetch(path: string, init: RequestInit): Promise<Response> {
    const headers = { ...init.headers, Authorization: `Bearer ${this.#key}` };
    return fetch(`${this.#url}${path}`, { ...init, headers, signal: AbortSignal.timeout(REQUEST_MS) });
  }

  #count(what: string): void {
    this.refusals[what] = (this.refusals[what] ?? 0) + 1;
  }
}

/** An answer that asking again does not change. */
class Refused extends Error {}
