import { setTimeout as sleep } from 'node:timers/promises';
import type { AppProcess } from '../processes.ts';
import type { Fleet } from './fleet.ts';
import type { Fault } from './schedule.ts';

/** A step of each graph that does not come first, and one of those that run side by side. */
const HELD_STEPS = ['b', 'y', 'join', 'ask:answered'];

/** Lines; an uncaught error is several. */
const LAST_WORDS = 30;

/** How long steps gather before the fault. */
const GATHER_MS = 150;

/**
 * Causes a fault and brings the fleet back to its full size.
 *
 * @returns what the processes did wrong in it
 */
export async function inject(fleet: Fleet, fault: Fault): Promise<string[]> {
  if (!fault.midStep) return cause(fleet, fault, () => undefined);
  const { ledger } = fleet;
  const release = () => {
    for (const step of HELD_STEPS) ledger.release(step);
  };
  for (const step of HELD_STEPS) ledger.hold(step);
  try {
    await sleep(GATHER_MS);
    return await cause(fleet, fault, release);
  } finally {
    release();
  }
}

/** @param struck to be called as soon as the fault is there */
async function cause(fleet: Fleet, fault: Fault, struck: () => void): Promise<string[]> {
  const { kind, lengthMs } = fault;
  switch (kind) {
    case 'worker killed':
    case 'gateway killed': {
      const victim = pick(kind === 'worker killed' ? fleet.workers : fleet.gateways, fault.victim);
      const gone = fleet.kill(victim);
      struck();
      await gone;
      await (kind === 'worker killed' ? fleet.startWorker() : fleet.startGateway());
      return [];
    }
    case 'worker leaving':
    case 'gateway leaving': {
      const victim = pick(kind === 'worker leaving' ? fleet.workers : fleet.gateways, fault.victim);
      const leaving = fleet.leave(victim);
      struck();
      const [code] = await Promise.all([
        leaving,
        kind === 'worker leaving' ? fleet.startWorker() : fleet.startGateway(),
      ]);
      return code === 0 ? [] : [`${kind}: exit code ${code}\n${victim.log.slice(-LAST_WORDS).join('\n')}`];
    }
    case 'worker frozen': {
      const victim = pick(fleet.workers, fault.victim);
      victim.signal('SIGSTOP');
      struck();
      try {
        await sleep(lengthMs);
      } finally {
        victim.signal('SIGCONT');
      }
      return [];
    }
    case 'redis killed':
    case 'redis paused': {
      const away = fleet.redis.away(lengthMs, kind === 'redis killed' ? 'killed' : 'paused');
      struck();
      await away;
      return [];
    }
  }
}

/** Starts another for each process that ended though nobody told it to. @returns what those said last */
export async function replaceDead(fleet: Fleet): Promise<string[]> {
  const wrong: string[] = [];
  for (const app of [...fleet.gateways, ...fleet.workers]) {
    if (isAlive(app)) continue;
    const isGateway = fleet.gateways.includes(app);
    await fleet.kill(app);
    await (isGateway ? fleet.startGateway() : fleet.startWorker());
    const name = isGateway ? 'gateway' : 'worker';
    wrong.push(`a ${name} died by itself\n${app.log.slice(-LAST_WORDS).join('\n')}`);
  }
  return wrong;
}

function isAlive({ pid }: AppProcess): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function pick(apps: AppProcess[], place: number): AppProcess {
  const app = apps[Math.floor(place * apps.length)];
  if (!app) throw new Error('none is left');
  return app;
}
