import { afterEach, expect } from 'vitest';
import { Fleet, type FleetOptions } from './fleet.ts';
import { LoadClient } from './load.ts';

/** What an undisturbed run of each graph calls, in order. */
export const steps = { chain: ['a', 'b', 'c'], siblings: ['x', 'y', 'z', 'join'], echo: ['echo'] };

/** For a file of scenarios: how each starts its fleet. It is stopped after the test, and every process must leave in order. */
export function scenarios(): (options?: FleetOptions) => Promise<{ fleet: Fleet; client: LoadClient }> {
  let fleet: Fleet | undefined;
  afterEach(async () => {
    const stopping = fleet;
    fleet = undefined;
    const codes = await stopping?.stop();
    expect(codes?.filter((code) => code !== 0) ?? []).toEqual([]);
  });
  return async (options = {}) => {
    fleet = await Fleet.start(options);
    return { fleet, client: new LoadClient(fleet) };
  };
}
