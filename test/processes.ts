import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { builtApp } from '../scripts/build.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** A gateway or worker as a process of its own, so that it can be killed. */
export interface AppProcess {
  pid: number;
  /** Where it listens. */
  url: string;
  /** Its log so far, a line each. */
  log: string[];
  /** Resolves when it has ended, to its exit code, or null after a signal. */
  exited: Promise<number | null>;
  /** Whether it has ended. */
  hasExited: () => boolean;
  /** Resolves when so many lines of its log have this text. */
  logged: (text: string, times?: number) => Promise<void>;
  /** Sends a signal and waits until the process is gone. Resolves to its exit code, or null after a signal. */
  end: (signal: NodeJS.Signals) => Promise<number | null>;
  /** Sends a signal. */
  signal: (signal: NodeJS.Signals) => void;
}

/**
 * Starts an app and waits until it says that it is ready. Rejects with its output when it ends before that.
 *
 * @param args for node
 * @param main arguments of node that run the app
 */
export async function startProcess(
  app: 'gateway' | 'worker',
  env: Record<string, string>,
  args: string[] = [],
  main = builtApp(app),
): Promise<AppProcess> {
  const child: ChildProcess = spawn(process.execPath, [...args, ...main], {
    cwd: root,
    env: { PATH: process.env.PATH, PORT: '0', WORKER_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log: string[] = [];
  const watchers = new Set<() => void>();
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  const failed = (code: number | null): never => {
    throw new Error(`${app} ended with ${code}:\n${log.join('\n')}`);
  };
  const ready = new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      if (!stream) continue;
      createInterface(stream).on('line', (line) => {
        log.push(line);
        for (const watcher of watchers) watcher();
        const url = readyUrl(line);
        if (url) resolve(url);
      });
    }
    exited.then(failed).catch(reject);
  });
  const url = await ready;
  // A gateway listens before it has Redis, so as to answer probes, and may yet find that it cannot use it.
  const isReady = () => fetch(`${url}/readyz`).then(({ ok }) => ok);
  while (!(await isReady().catch(() => exited.then(failed))));
  return {
    pid: child.pid ?? 0,
    url,
    log,
    exited,
    logged: (text, times = 1) =>
      new Promise((resolve) => {
        const watcher = () => {
          if (log.filter((line) => line.includes(text)).length < times) return;
          watchers.delete(watcher);
          resolve();
        };
        watchers.add(watcher);
        watcher();
      }),
    hasExited: () => child.exitCode !== null || child.signalCode !== null,
    signal: (signal) => void child.kill(signal),
    end: (signal) => {
      child.kill(signal);
      return exited;
    },
  };
}

function readyUrl(line: string): string | undefined {
  if (!line.startsWith('{')) return undefined;
  const { msg, url } = JSON.parse(line) as { msg?: string; url?: string };
  return msg?.includes('ready') || msg?.includes('listening') ? url : undefined;
}
