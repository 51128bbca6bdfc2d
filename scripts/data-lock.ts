import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { UserError } from './say.ts';

/** A process and when it began: a number alone may belong to somebody else by now. */
interface Identity {
  pid: number;
  began: string;
}

interface Claim {
  launcher: Identity;
  server?: Identity;
}

export interface DataLock {
  /** From here on the folder is in use until this process is gone too. */
  serverIs(pid: number): void;
  release(): void;
}

/**
 * Makes this process the only one that may run a Redis on `dir`: two servers on one append-only file ruin it. A folder
 * whose launcher is gone but whose server is still closing is waited for.
 */
export async function lockDataDir(dir: string, waitMs = 30_000): Promise<DataLock> {
  mkdirSync(dir, { recursive: true });
  const file = join(dir, 'millrace.lock');
  const mine: Claim = { launcher: identify(process.pid) };
  const deadline = Date.now() + waitMs;
  while (!claim(file, mine)) {
    const theirs = read(file);
    if (theirs === undefined) continue;
    if (isRunning(theirs.claim.launcher)) {
      const { pid } = theirs.claim.launcher;
      throw new UserError(
        `${dir} is in use by another start (process ${pid}). Stop that one (kill ${pid}), or set REDIS_URL.`,
      );
    }
    if (theirs.claim.server && isRunning(theirs.claim.server)) {
      if (Date.now() > deadline) {
        const { pid } = theirs.claim.server;
        throw new UserError(
          `${dir} is still in use by a Redis (process ${pid}) that should have ended: kill ${pid}`,
        );
      }
      await pause(100);
      continue;
    }
    discard(file, theirs.text);
  }
  return {
    serverIs(pid) {
      mine.server = identify(pid);
      const next = `${file}.${process.pid}`;
      writeFileSync(next, JSON.stringify(mine));
      renameSync(next, file);
    },
    release: () => rmSync(file, { force: true }),
  };
}

/** link(2) is atomic and brings the content along, so nobody ever reads an empty lock. */
function claim(file: string, content: Claim): boolean {
  const next = `${file}.${process.pid}`;
  writeFileSync(next, JSON.stringify(content));
  try {
    linkSync(next, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(next, { force: true });
  }
}

function read(file: string): { claim: Claim; text: string } | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined; // released just now
  }
  try {
    return { claim: JSON.parse(text) as Claim, text };
  } catch {
    return { claim: { launcher: { pid: 0, began: '' } }, text };
  }
}

/** Takes a dead claim away. If somebody else did so first and claimed anew, theirs is put back. */
function discard(file: string, seen: string): void {
  const aside = `${file}.${process.pid}.old`;
  try {
    renameSync(file, aside);
    if (readFileSync(aside, 'utf8') !== seen) linkSync(aside, file);
  } catch {
    // gone, or claimed again: the loop looks anew
  } finally {
    rmSync(aside, { force: true });
  }
}

function isRunning({ pid, began }: Identity): boolean {
  if (pid <= 0) return false;
  const now = identify(pid);
  return now.began !== '' && now.began === began;
}

function identify(pid: number): Identity {
  return { pid, began: beginningOf(pid) };
}

/** When a process began, in whatever form this system tells; empty when it does not run (a zombie does not). */
function beginningOf(pid: number): string {
  if (process.platform === 'linux') {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // The second field, the name, may itself hold spaces and brackets.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' ? '' : (fields[19] ?? '');
    } catch {
      return '';
    }
  }
  try {
    const env = { ...process.env, LC_ALL: 'C' };
    return execFileSync('ps', ['-o', 'lstart=', '-p', `${pid}`], { env, encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
}
