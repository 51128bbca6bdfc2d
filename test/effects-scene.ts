import { fileURLToPath } from 'node:url';
import type { BaseMessage, ToolMessage } from '@langchain/core/messages';
import type { Json, JsonObject } from '@millrace/shared/contract/json';
import type { RunRecord } from '@millrace/shared/contract/run';
import { createLogger } from '@millrace/shared/logger';
import { testRedis } from '@millrace/shared/test-redis';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { createServices, type Services } from '../apps/gateway/src/services.ts';
import { submitRun } from '../apps/gateway/src/use-cases/submit-run.ts';
import { StoreClient } from './client.ts';
import { type Ledger, startLedger } from './ledger.ts';
import { type AppProcess, startProcess } from './processes.ts';
import { sweepUntil } from './sweeping.ts';

const graphs = fileURLToPath(new URL('graphs/effects.json', import.meta.url));

export const says = (content: string) => ({ messages: [{ role: 'user', content }] });

/** A worker with graphs that have effects, to be killed in the middle of one; another takes its place. */
export class EffectsScene {
  readonly client: StoreClient;
  readonly services: Services;
  /** The one that does the work. */
  worker!: AppProcess;
  /** Counts effects; a new one for each test. */
  ledger!: Ledger;
  readonly #redis: Awaited<ReturnType<typeof testRedis>>;
  readonly #processes: AppProcess[] = [];
  readonly #stopSweeping: () => Promise<void>;

  private constructor(redis: Awaited<ReturnType<typeof testRedis>>) {
    this.#redis = redis;
    this.client = new StoreClient(redis);
    const { redis: connection, keys } = redis;
    this.services = createServices({
      redis: connection,
      checkpointRedis: redis.checkpoints,
      subscriber: redis.subscriber(),
      keys,
      logger: createLogger('test', 'silent'),
    });
    this.#stopSweeping = sweepUntil(this.client);
  }

  static async open(): Promise<EffectsScene> {
    const scene = new EffectsScene(await testRedis());
    scene.worker = await scene.start('worker');
    return scene;
  }

  async close(): Promise<void> {
    await this.#stopSweeping();
    await Promise.all(this.#processes.map((one) => one.end('SIGKILL')));
    await this.services.close();
    await this.client.close();
    await this.#redis.close();
  }

  async start(app: 'gateway' | 'worker', env: Record<string, string> = {}): Promise<AppProcess> {
    const started = await startProcess(app, {
      ...this.#redis.env,
      LANGGRAPH_CONFIG: graphs,
      LEASE_SECONDS: '1',
      DRAIN_SECONDS: '1',
      ...env,
    });
    this.#processes.push(started);
    return started;
  }

  /** Ends the worker and puts another in its place. */
  async replaceWorker(env: Record<string, string> = {}): Promise<void> {
    await this.worker.end('SIGKILL');
    this.worker = await this.start('worker', env);
  }

  /** Kills the worker while it is in this step, and lets another one take over. */
  async killIn(step: string): Promise<void> {
    await this.ledger.called(step);
    await this.worker.end('SIGKILL');
    this.ledger.release(step);
    this.worker = await this.start('worker');
  }

  configured() {
    return { config: { configurable: { ledger: this.ledger.url } } };
  }

  /** Answers what a parked run asks, and waits for what comes of it. */
  async answer(run: RunRecord, resume: Json): Promise<RunRecord> {
    const { runId } = await submitRun(this.services, {
      tenant: 't',
      assistant: run.request.graph,
      thread: run.thread,
      command: { resume },
      streamModes: [],
      ...this.configured(),
    });
    return this.client.end(runId);
  }

  /** Starts a run and kills its worker in the middle of a payment. Gives the run as it has parked then. */
  async killInPayment(graph: string, input: JsonObject = says('pay ann')): Promise<RunRecord> {
    this.ledger.hold('pay ann');
    const { runId } = await this.client.submit(graph, { input, ...this.configured() });
    await this.killIn('pay ann');
    return this.client.end(runId);
  }

  /** What the tools' messages say. */
  async toolResults({ thread }: RunRecord): Promise<unknown[]> {
    const { messages } = (await this.client.values(thread)) as { messages: BaseMessage[] };
    return messages
      .filter((one) => one.getType() === 'tool')
      .map((one) => [(one as ToolMessage).status, one.content]);
  }
}

/** One scene for all tests of a file, with a ledger for each. */
export function effectsScene(): () => EffectsScene {
  let scene: EffectsScene;
  beforeAll(async () => {
    scene = await EffectsScene.open();
  });
  afterAll(() => scene.close());
  beforeEach(async () => {
    scene.ledger = await startLedger();
    // A test that failed may have left none.
    if (scene.worker.hasExited()) scene.worker = await scene.start('worker');
  });
  afterEach(() => scene.ledger.close());
  return () => scene;
}
