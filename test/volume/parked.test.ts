import { setTimeout as sleep } from 'node:timers/promises';
import { threadKey } from '@millrace/shared/keys';
import { partitionOfThread } from '@millrace/shared/partition';
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Fleet } from '../faults/fleet.ts';
import { LoadClient } from '../faults/load.ts';

/** Questions that nobody answers for long. */

let fleet: Fleet;
let redis: Redis;

beforeEach(async () => {
  // About a second: runs that are over go while others wait.
  const env = { RUN_RETENTION_HOURS: '0.0003', CHECKPOINTS_KEPT: '1' };
  fleet = await Fleet.start({ gateways: 1, workers: 1, env });
  redis = fleet.redis.connect();
});
afterEach(async () => {
  redis.disconnect();
  expect(await fleet.stop()).toEqual([0, 0]);
});

const send = (method: string, path: string, body?: unknown) =>
  fetch(`${fleet.gateways[0]?.url}${path}`, {
    method,
    headers: { 'Content-Type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });

async function untilGone(path: string): Promise<void> {
  while ((await send('GET', path)).status !== 404) await sleep(50);
}

it('a question is kept for as long as its thread is, and no longer', { timeout: 240_000 }, async () => {
  const client = new LoadClient(fleet);
  const asked = await client.submit('ask', 'asks', 'x');
  const forgotten = await client.submit('ask', 'forgotten', 'x');
  const stateless = await send('POST', '/runs/wait', { assistant_id: 'ask', input: { text: 'x' } });
  expect(await stateless.json()).toHaveProperty('__interrupt__');
  const [, , own = ''] = stateless.headers.get('Content-Location')?.split('/') ?? [];
  const over = await client.submit('echo', 'over', 'x');
  for (const run of [asked, forgotten]) await client.outcome(run);
  await untilGone(`/threads/over/runs/${over.runId}`);
  // A thread that was made for its run goes when the run would.
  await untilGone(`/threads/${own}`);

  for (const one of [...fleet.gateways, ...fleet.workers]) await fleet.leave(one);
  await fleet.startWorker({ CHECKPOINTS_KEPT: '1' });
  await fleet.startGateway({ RUN_RETENTION_HOURS: '24' });
  const answered = await client.answer(asked, 'yes');
  if (answered) await client.outcome(answered);
  const state = (await (await send('GET', '/threads/asks/state')).json()) as { values: { log: string[] } };
  expect(state.values.log).toEqual(['ask:yes', 'after:x']);

  // The time of the other thread is over.
  const expiry = `${fleet.keys.root(partitionOfThread('forgotten'))}:expiry`;
  const member = threadKey('default', 'forgotten');
  expect(Number(await redis.zscore(expiry, member))).toBeGreaterThan(Date.now() + 29 * 24 * 3600_000);
  await redis.zadd(expiry, 1, member);
  await untilGone('/threads/forgotten');
  const late = await send('POST', '/threads/forgotten/runs', {
    assistant_id: 'ask',
    command: { resume: 'yes' },
  });
  expect(late.status).toBe(404);
  // What is left of it refuses writers of old for an hour.
  for (;;) {
    // The order that made its run may still be repeated.
    const left = (await redis.keys('*/forgotten*')).filter((key) => !key.includes(':idem:'));
    const kinds = left.map((key) => /lease|fence/.exec(key)?.[0]).sort();
    if (kinds.join() === 'fence,lease') break;
    await sleep(50);
  }
});
