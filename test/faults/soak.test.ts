import { expect, it } from 'vitest';
import { schedule } from './schedule.ts';
import { soak } from './soak-run.ts';

it('faults of every kind, one after the other, break nothing', { timeout: 240_000 }, async () => {
  const lines: string[] = [];
  const { runs, faults, violations } = await soak({
    seed: 7,
    ms: 20_000,
    phaseMs: 20_000,
    gateways: 2,
    workers: 3,
    say: (line) => void lines.push(line),
    stop: new AbortController().signal,
  });
  // The lines have what the processes logged of it.
  expect(violations, lines.join('\n')).toEqual([]);
  expect(runs).toBeGreaterThan(0);
  expect(faults).toBeGreaterThan(0);
});

it('the same seed gives the same faults', () => {
  const first = (seed: number) => {
    const faults = schedule(seed, 2_000);
    return Array.from({ length: 30 }, () => faults.next().value);
  };
  expect(first(1)).toEqual(first(1));
  expect(first(1)).not.toEqual(first(2));
});
