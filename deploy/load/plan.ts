import { readFileSync } from 'node:fs';
import { UserError } from '../../scripts/say.ts';

/** The number of users moves evenly to `users` within this time. */
export interface Stage {
  users: number;
  ms: number;
}

const UNIT_MS: Record<string, number> = { s: 1000, m: 60_000 };

/** A plan of plans.json, which k6 reads too. @throws UserError that names the plans there are */
export function readPlan(name: string): Stage[] {
  const plans = JSON.parse(readFileSync(new URL('plans.json', import.meta.url), 'utf8')) as Record<
    string,
    { users: number; over: string }[]
  >;
  const plan = plans[name];
  if (!plan) throw new UserError(`--plan must be one of ${Object.keys(plans).join(', ')}`);
  return plan.map(({ users, over }) => {
    const [, amount = '', unit = ''] = /^(\d+)([sm])$/.exec(over) ?? [];
    return { users, ms: Number(amount) * (UNIT_MS[unit] ?? Number.NaN) };
  });
}

export function lengthOf(plan: Stage[]): number {
  return plan.reduce((sum, { ms }) => sum + ms, 0);
}

/** The same plan in another time. */
export function stretched(plan: Stage[], ms: number): Stage[] {
  const factor = ms / lengthOf(plan);
  return plan.map((stage) => ({ ...stage, ms: stage.ms * factor }));
}

/** How many users there are to be, so long after the beginning; undefined when the plan is over. */
export function usersAt(plan: Stage[], ms: number): number | undefined {
  let before = 0;
  let left = ms;
  for (const stage of plan) {
    if (left < stage.ms) return Math.round(before + ((stage.users - before) * left) / stage.ms);
    left -= stage.ms;
    before = stage.users;
  }
  return undefined;
}
