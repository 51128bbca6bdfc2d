import { randomUUID } from 'node:crypto';
import { CheckpointReader } from '@millrace/checkpoint-redis/reader';
import type { RunEvent } from '@millrace/shared/contract/event';
import type { RunRecord, RunRequest } from '@millrace/shared/contract/run';
import { EventHub } from '@millrace/shared/event-hub';
import { EventReader } from '@millrace/shared/event-reader';
import { createLogger } from '@millrace/shared/logger';
import { Doorbell } from '@millrace/shared/queue';
import type { Submission } from '@millrace/shared/run-moves';
import { RunStore } from '@millrace/shared/run-store';
import type { TestRedis } from '@millrace/shared/test-redis';

/** Submits and watches runs without a gateway. */
export class StoreClient {
  readonly store: RunStore;
  readonly doorbell: Doorbell;
  readonly events: EventReader;
  readonly checkpoints: CheckpointReader;
  readonly #hub: EventHub;
  readonly #test: TestRedis;

  constructor(test: TestRedis) {
    this.#test = test;
    this.store = new RunStore(test.redis, { keys: test.keys });
    this.doorbell = new Doorbell(test.redis, this.store);
    this.#hub = new EventHub(test.subscriber(), test.redis, test.keys, createLogger('test', 'silent'));
    this.events = new EventReader(test.redis, test.keys, this.#hub);
    this.checkpoints = new CheckpointReader(test.checkpoints, {
      prefix: test.keys.checkpoints(),
      namespace: 't',
    });
  }

  /** Submits a run and rings. */
  async submit(
    graph: string,
    request: Partial<RunRequest> = {},
    more: Partial<Submission> = {},
  ): Promise<{ runId: string; thread: string }> {
    const thread = more.thread ?? randomUUID();
    const result = await this.store.submit({
      tenant: 't',
      thread,
      createThread: true,
      request: {
        kind: 'graph',
        graph,
        assistantId: graph,
        input: request.answers ? undefined : {},
        streamModes: [],
        ...request,
      },
      queue: 'default',
      multitask: 'enqueue',
      ...more,
    });
    if (result.outcome !== 'accepted') throw new Error(`refused: ${result.outcome}`);
    await this.doorbell.ring([result.job]);
    return { runId: result.runId, thread };
  }

  /** The run once it has ended, of whichever of the tests' tenants. */
  async end(runId: string): Promise<RunRecord> {
    await this.events.waitForEnd(runId, { timeoutMs: 100_000 });
    const run = (await this.store.read.run('t', runId)) ?? (await this.store.read.run('default', runId));
    if (!run) throw new Error(`run ${runId} is gone`);
    return run;
  }

  async run(graph: string, request: Partial<RunRequest> = {}, more: Partial<Submission> = {}) {
    const { runId, thread } = await this.submit(graph, request, more);
    return { ...(await this.end(runId)), thread };
  }

  /** All events of a run that has ended or will. */
  async stream(runId: string): Promise<RunEvent[]> {
    const events: RunEvent[] = [];
    for await (const event of this.events.follow(runId)) events.push(event);
    return events;
  }

  async values(thread: string): Promise<Record<string, unknown>> {
    return (await this.checkpoints.head(thread))?.values ?? {};
  }

  /** The values of another tenant's thread. */
  async valuesOf(tenant: string, thread: string): Promise<Record<string, unknown>> {
    return (await this.#reader(tenant).head(thread))?.values ?? {};
  }

  /** Resolves when a queue has nothing left to do. */
  async idle(queue: string): Promise<void> {
    while ((await this.doorbell.demand(queue, 0)).demand > 0);
  }

  #reader(tenant: string): CheckpointReader {
    return new CheckpointReader(this.#test.checkpoints, {
      prefix: this.#test.keys.checkpoints(),
      namespace: tenant,
    });
  }

  /** Resolves when so many tasks of the thread's next step have their results stored. */
  async storedWrites(thread: string, tasks: number): Promise<void> {
    for (;;) {
      const head = await this.checkpoints.head(thread);
      if ((head?.tasks.filter((task) => task.done).length ?? 0) >= tasks) return;
    }
  }

  async close(): Promise<void> {
    this.#hub.close();
    await this.doorbell.close();
  }
}
