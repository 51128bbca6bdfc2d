import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { type AppProcess, startApp } from '../../scripts/app-process.ts';
import { freePort, httpUrl } from '../../scripts/ports.ts';

const READY_MS = 120_000;

/** What a worker says when it breaks off a step to leave in time: that step is done again elsewhere. */
const BREAKS_OFF = 'a step outlasts the drain';

export interface FleetOptions {
  /** For node. */
  args: string[];
  cwd: string;
  env: Record<string, string>;
  /** What a worker has between SIGTERM and SIGKILL, in milliseconds here. */
  graceMs: number;
  logDir: string;
  /** Where Prometheus finds whom to scrape. */
  targetsFile?: string;
  /** Called with each process that was started. */
  started: (pid: number) => void;
  /** Ends all at once. */
  force: AbortSignal;
}

interface Pod {
  name: string;
  address: string;
  app: AppProcess;
  readyAt: number | undefined;
  leaving: boolean;
}

/** What there is of a Deployment. */
export interface FleetState {
  wanted: number;
  ready: number;
  /** Told to leave, and still at it. */
  leaving: number;
}

/**
 * Workers as a Deployment and its kubelets would have them, without a cluster: processes that are started when more are
 * wanted, told to leave by SIGTERM when fewer are, and killed when their grace is over.
 */
export class Fleet {
  readonly #options: FleetOptions;
  readonly #pods = new Set<Pod>();
  readonly #leaving: Promise<void>[] = [];
  #wanted = 0;
  #count = 0;
  /** Workers that did not leave by themselves within their grace, or not with exit code 0. */
  readonly killed: string[] = [];
  /** Workers that ended unasked. */
  readonly died: string[] = [];
  /** How long those that left took, in milliseconds here. */
  readonly drains: number[] = [];
  /** Steps that workers broke off to leave in time. */
  brokenOff = 0;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#publish();
  }

  get state(): FleetState {
    const pods = [...this.#pods];
    return {
      wanted: this.#wanted,
      ready: pods.filter((pod) => !pod.leaving && pod.readyAt !== undefined).length,
      leaving: pods.filter((pod) => pod.leaving).length,
    };
  }

  /** Sets how many there are to be. */
  scale(wanted: number): void {
    this.#wanted = wanted;
    const staying = [...this.#pods].filter((pod) => !pod.leaving);
    for (let missing = wanted - staying.length; missing > 0; missing--) {
      this.#start().catch((error) => this.died.push(`${error}`));
    }
    // As a ReplicaSet chooses: first those that are not ready, then those that have been so for the shortest time.
    const age = (pod: Pod) => pod.readyAt ?? Number.POSITIVE_INFINITY;
    const youngest = staying.toSorted((a, b) => age(b) - age(a));
    for (const pod of youngest.slice(0, Math.max(0, staying.length - wanted))) {
      this.#leaving.push(this.#leave(pod));
    }
  }

  /** Lets all leave, and resolves when they are gone. */
  async close(): Promise<void> {
    this.scale(0);
    await Promise.all(this.#leaving);
  }

  async #start(): Promise<void> {
    const { args, cwd, env, logDir, started } = this.#options;
    const name = `millrace-worker-${++this.#count}`;
    const port = await freePort();
    // Another round may have asked for the same ones meanwhile, or for fewer.
    if ([...this.#pods].filter((pod) => !pod.leaving).length >= this.#wanted) return;
    const url = httpUrl('127.0.0.1', port);
    const app = startApp({
      name,
      file: process.execPath,
      args,
      cwd,
      env: { ...env, WORKER_HOST: '127.0.0.1', WORKER_PORT: `${port}` },
      readyUrl: `${url}/readyz`,
      logDir,
    });
    const pod: Pod = { name, address: `127.0.0.1:${port}`, app, readyAt: undefined, leaving: false };
    this.#pods.add(pod);
    this.#publish();
    if (app.pid !== undefined) started(app.pid);
    void app.exited.then(() => {
      this.#pods.delete(pod);
      this.#publish();
      this.brokenOff += readFileSync(app.logFile, 'utf8').split(BREAKS_OFF).length - 1;
      if (pod.leaving) return;
      this.died.push(`${name}:\n${app.lastWords()}`);
      this.scale(this.#wanted);
    });
    await app.ready(READY_MS);
    pod.readyAt = Date.now();
  }

  async #leave(pod: Pod): Promise<void> {
    pod.leaving = true;
    const began = Date.now();
    const inOrder = await pod.app.stop(this.#options.graceMs, this.#options.force);
    if (inOrder) this.drains.push(Date.now() - began);
    else this.killed.push(`${pod.name}:\n${pod.app.lastWords()}`);
  }

  /** For Prometheus, as the operator would label them. A Pod that leaves is still scraped. */
  #publish(): void {
    const { targetsFile } = this.#options;
    if (targetsFile === undefined) return;
    const targets = [...this.#pods].map(({ name, address }) => ({
      targets: [address],
      labels: { job: 'millrace-worker', namespace: 'millrace', pod: name },
    }));
    writeFileSync(`${targetsFile}.new`, JSON.stringify(targets));
    renameSync(`${targetsFile}.new`, targetsFile);
  }
}
