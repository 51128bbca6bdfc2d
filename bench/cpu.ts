import { readFileSync } from 'node:fs';

/** The kernel's clock ticks, on every Linux that Node runs on. */
const MS_PER_TICK = 10;

/** Milliseconds of CPU that processes have used so far; undefined where the system does not tell. */
export function cpuMs(pids: readonly number[]): number | undefined {
  if (process.platform !== 'linux') return undefined;
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field, the name, may itself hold spaces and brackets.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks * MS_PER_TICK;
}
