import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('./redis-watchdog.sh', import.meta.url));

export interface Watchdog {
  /** If this process dies, Redis stays until that one has ended too (for at most the grace). */
  waitFor(pid: number): void;
  /** If this process dies, that one (the leader of its own group) is stopped. */
  end(pid: number): void;
  /** Redis has been stopped in order: nothing is left to watch. */
  dismiss(): Promise<void>;
}

export interface WatchdogOptions {
  serverPid: number;
  graceSeconds: number;
  /** A folder to remove when Redis is gone. */
  scratchDir?: string | undefined;
  cleanup?: string[] | undefined;
}

/** A process of its own that ends Redis when this process is gone, even by SIGKILL. */
export function startWatchdog(options: WatchdogOptions): Watchdog {
  const { serverPid, graceSeconds, scratchDir = '', cleanup = [] } = options;
  const child = spawn('/bin/sh', [script, `${serverPid}`, `${graceSeconds}`, scratchDir, ...cleanup], {
    // In a process group of its own: a terminal's Ctrl-C or hang-up is not for it.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const exited = once(child, 'exit').catch(() => {});
  child.stdin.on('error', () => {});
  return {
    waitFor: (pid) => void child.stdin.write(`wait ${pid}\n`),
    end: (pid) => void child.stdin.write(`end ${pid}\n`),
    async dismiss() {
      child.stdin.end('done\n');
      await exited;
    },
  };
}
