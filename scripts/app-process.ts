import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { lastLines, openLog } from './log-file.ts';

export interface AppSpec {
  /** Names the log file too. */
  name: string;
  file: string;
  args: string[];
  cwd: string;
  env: NodeJS.ProcessEnv;
  readyUrl: string;
  logDir: string;
}

export interface AppExit {
  app: AppProcess;
  code: number | null;
  signal: NodeJS.Signals | null;
  error?: string;
}

export interface AppProcess {
  name: string;
  logFile: string;
  pid: number | undefined;
  exited: Promise<AppExit>;
  /** Settles when the app says that it is ready, or rejects when it takes too long. */
  ready(limitMs: number): Promise<void>;
  /** Asks it to drain, and resolves once it is gone; true when it went by itself and in order. */
  stop(limitMs: number, force: AbortSignal): Promise<boolean>;
  lastWords(): string;
}

/** One gateway or worker, in a process group of its own: a terminal's Ctrl-C reaches only the launcher. */
export function startApp(spec: AppSpec): AppProcess {
  const { name, logDir } = spec;
  const logFile = join(logDir, `${name}.log`);
  const out = openLog(logFile);
  const child = spawn(spec.file, spec.args, {
    cwd: spec.cwd,
    // Its stdin stays open for as long as the launcher lives, and tells the app when that is over.
    env: { ...spec.env, EXIT_ON_STDIN_CLOSE: '1' },
    stdio: ['pipe', out, out],
    detached: true,
  });
  closeSync(out);
  child.stdin?.on('error', () => {});
  let gone = false;
  let wasReady = false;
  const exited = new Promise<AppExit>((settle) => {
    const end = (exit: Omit<AppExit, 'app'>) => {
      gone = true;
      settle({ app, ...exit });
    };
    child.once('error', (error) => end({ code: null, signal: null, error: error.message }));
    child.once('exit', (code, signal) => end({ code, signal }));
  });
  const kill = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // already gone
    }
  };
  const app: AppProcess = {
    name,
    logFile,
    pid: child.pid,
    exited,
    async ready(limitMs) {
      const over = new AbortController();
      void exited.then(() => over.abort());
      const deadline = AbortSignal.any([over.signal, AbortSignal.timeout(limitMs)]);
      while (!(await isReady(spec.readyUrl, deadline))) {
        if (over.signal.aborted) return new Promise(() => {}); // it never will be; `exited` tells
        if (deadline.aborted) throw new Error(`${name} was not ready within ${limitMs / 1000} s`);
        await pause(100);
      }
      wasReady = true;
    },
    async stop(limitMs, force) {
      if (gone) return true; // that was told when it happened
      const timer = setTimeout(kill, limitMs);
      force.addEventListener('abort', kill);
      if (force.aborted) kill();
      else child.kill('SIGTERM');
      const { code, signal } = await exited;
      clearTimeout(timer);
      force.removeEventListener('abort', kill);
      // One that is still starting has no handler for the signal yet, and nothing to drain.
      return code === 0 || (!wasReady && signal === 'SIGTERM');
    },
    lastWords: () => lastLines(logFile, 20),
  };
  return app;
}

async function isReady(url: string, signal: AbortSignal): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(2000)]) });
    await response.body?.cancel();
    return response.status === 200;
  } catch {
    return false;
  }
}
