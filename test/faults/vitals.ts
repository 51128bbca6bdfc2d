import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { AppProcess } from '../processes.ts';

/** What a process holds, after a garbage collection. */
export interface Vitals {
  /** Live memory of the JavaScript heap and of the buffers outside of it. */
  heapBytes: number;
  /** The most memory that it ever had, garbage and all. */
  peakBytes: number;
  sockets: number;
  timers: number;
  /** Open files, sockets included; 0 where there is no /proc. */
  descriptors: number;
}

/** Arguments of node under which a process tells its vitals. */
export const probed = ['--import', 'tsx', '--import', fileURLToPath(new URL('probe.ts', import.meta.url))];

/** @param app started with {@link probed} */
export async function vitalsOf(app: AppProcess): Promise<Vitals> {
  const from = app.log.length;
  app.signal('SIGUSR2');
  for (;;) {
    const line = app.log.slice(from).find((one) => one.startsWith('{"vitals"'));
    if (line) return (JSON.parse(line) as { vitals: Vitals }).vitals;
    await sleep(20);
  }
}

/** Waits until a process has come to rest: no more sockets than before. */
export async function atRest(app: AppProcess, before: Vitals): Promise<Vitals> {
  for (;;) {
    const now = await vitalsOf(app);
    if (now.sockets <= before.sockets) return now;
    await sleep(50);
  }
}
