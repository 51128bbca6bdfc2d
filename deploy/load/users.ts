import { setTimeout as pause } from 'node:timers/promises';
import { type Stage, usersAt } from './plan.ts';

/** One request, as its user saw it. */
export interface Sample {
  ms: number;
  /** The status, or in a word why there was none. */
  result: string;
}

export interface Target {
  url: string;
  key: string | undefined;
}

const TICK_MS = 50;
/** Between an answer and the user's next question. */
const THINK_MS = 1000;
const REQUEST_LIMIT_MS = 60_000;

/** Sends users by the plan; each asks, waits for the answer and thinks for a second. Resolves when all have left. */
export async function sendUsers(plan: Stage[], target: Target, signal: AbortSignal): Promise<Sample[]> {
  const samples: Sample[] = [];
  const began = performance.now();
  const wanted = () => (signal.aborted ? undefined : usersAt(plan, performance.now() - began));
  const users = new Map<number, Promise<void>>();
  const behave = async (user: number) => {
    while ((wanted() ?? 0) > user) {
      samples.push(await ask(target));
      await pause(THINK_MS);
    }
    users.delete(user);
  };
  for (let count = wanted(); count !== undefined; count = wanted()) {
    for (let user = 0; user < count; user++) if (!users.has(user)) users.set(user, behave(user));
    await pause(TICK_MS);
  }
  await Promise.all(users.values());
  return samples;
}

async function ask({ url, key }: Target): Promise<Sample> {
  const began = performance.now();
  const result = await send();
  return { ms: performance.now() - began, result };

  async function send(): Promise<string> {
    try {
      const answer = await fetch(`${url}/message`, {
        method: 'POST',
        headers: {
          'Content-Type': 'application/json',
          ...(key === undefined ? {} : { Authorization: `Bearer ${key}` }),
        },
        body: JSON.stringify({ query: 'What is the capital of France?' }),
        signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
      });
      await answer.arrayBuffer();
      return `${answer.status}`;
    } catch (error) {
      const { cause, name } = error as Error & { cause?: { code?: string } };
      return cause?.code ?? name;
    }
  }
}
