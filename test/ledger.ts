import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Counts the calls of graph steps, outside every worker, and can hold a step until the test lets it go. */
export interface Ledger {
  url: string;
  /** Calls so far, by step; of one run, if given. */
  count: (step: string, run?: string) => number;
  /** The idempotency keys that the calls of a step brought along, in order. */
  keys: (step: string) => (string | undefined)[];
  /** Resolves when a step has been called so many times. */
  called: (step: string, times?: number) => Promise<void>;
  /** Resolves when the caller of a call that waits has given it up. */
  abandoned: (step: string) => Promise<void>;
  /** From now on calls of this step wait. */
  hold: (step: string) => void;
  /** Lets waiting calls of this step go on, and those to come. */
  release: (step: string) => void;
  close: () => Promise<void>;
}

export async function startLedger(): Promise<Ledger> {
  const calls: { step: string; run: string; key: string | undefined }[] = [];
  const held = new Map<string, (() => void)[]>();
  const watchers = new Set<() => void>();
  const abandoned = new Set<string>();
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      const { step, run } = JSON.parse(body) as { step: string; run: string };
      const key = request.headers['idempotency-key'];
      calls.push({ step, run, key: typeof key === 'string' ? key : undefined });
      const waiting = held.get(step);
      if (waiting) waiting.push(() => response.end('go'));
      else response.end('go');
      response.on('close', () => {
        if (response.writableEnded) return;
        abandoned.add(step);
        for (const watcher of watchers) watcher();
      });
      for (const watcher of watchers) watcher();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const count = (step: string, run?: string) =>
    calls.filter((one) => one.step === step && (run === undefined || one.run === run)).length;
  const until = (condition: () => boolean) =>
    new Promise<void>((resolve) => {
      const watcher = () => {
        if (!condition()) return;
        watchers.delete(watcher);
        resolve();
      };
      watchers.add(watcher);
      watcher();
    });
  const release = (step: string) => {
    for (const go of held.get(step) ?? []) go();
    held.delete(step);
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    count,
    keys: (step) => calls.filter((one) => one.step === step).map((one) => one.key),
    called: (step, times = 1) => until(() => count(step) >= times),
    abandoned: (step) => until(() => abandoned.has(step)),
    hold: (step) => held.set(step, held.get(step) ?? []),
    release,
    close: () => {
      for (const step of held.keys()) release(step);
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
