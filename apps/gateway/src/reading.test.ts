import { testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Reading } from './reading.ts';

let test: Awaited<ReturnType<typeof testRedis>>;
beforeEach(async () => {
  test = await testRedis();
});
afterEach(() => test.close());

it('has what was answered while the process itself was busy', async () => {
  const faults: unknown[] = [];
  const reading = new Reading(
    () => test.redis.echo('answer'),
    (fault) => faults.push(fault),
  );
  const value = reading.get();
  // Longer than the patience with Redis, which answers meanwhile.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
  expect(await value).toBe('answer');
  expect(faults).toEqual([]);
});
