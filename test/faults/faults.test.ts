import { describe, expect, it } from 'vitest';
import { check } from './checker.ts';
import { scenarios, steps } from './scenario.ts';

/** Faults that are really caused: real processes, real signals, a real Redis. */

const eight = Array.from({ length: 8 }, (_, i) => `thread-${i}`);

const start = scenarios();

describe('Redis', () => {
  it('killed and back: runs at work end once, and nobody needs a restart', async () => {
    const { fleet, client } = await start();
    fleet.ledger.hold('b');
    await Promise.all(eight.map((thread) => client.submit('chain', thread, 'held')));
    await fleet.ledger.called('b', 8);
    await fleet.redis.away(500, 'killed');
    fleet.ledger.release('b');
    await client.drive({ graph: 'chain', threads: 8, count: 8, width: 4 });
    await client.settled();
    expect(await check(fleet, client.acknowledged, { steps })).toEqual([]);
  });

  it('paused for longer than a lease: no crash is charged, no step repeated', async () => {
    const { fleet, client } = await start({ env: { CRASH_BUDGET: '0' } });
    fleet.ledger.hold('b');
    await Promise.all(eight.map((thread) => client.submit('chain', thread, 'held')));
    await fleet.ledger.called('b', 8);
    await fleet.redis.away(12_000, 'paused');
    fleet.ledger.release('b');
    await client.settled();
    expect(await check(fleet, client.acknowledged, { steps })).toEqual([]);
  });

  it('away: a submit fails fast, with 503 and Retry-After', async () => {
    const { fleet } = await start({ gateways: 1, workers: 1 });
    await fleet.redis.kill();
    const response = await fetch(`${fleet.gateways[0]?.url}/message`, {
      method: 'POST',
      body: '{"query":"x"}',
    });
    expect(response.status).toBe(503);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    await fleet.redis.up();
  });
});

describe('a worker', () => {
  it('killed under load, again and again: only unfinished steps repeat', async () => {
    const { fleet, client } = await start({ workers: 3 });
    const load = client.drive({ graph: 'siblings', threads: 20, count: 150, width: 5 });
    let killed = 0;
    for (const calls of [50, 200, 350]) {
      await fleet.ledger.called('x', Math.min(calls / 4, 100));
      const [victim] = fleet.workers;
      if (victim) await fleet.kill(victim);
      killed += 1;
      await fleet.startWorker();
    }
    await load;
    await client.settled();
    // A worker had eight runs at most, each with three steps side by side.
    expect(await check(fleet, client.acknowledged, { steps, repeats: killed * 8 * 3 })).toEqual([]);
  });

  it('frozen past its lease, then thawed: what it still writes is refused', async () => {
    const { fleet, client } = await start({ workers: 1, gateways: 1 });
    fleet.ledger.hold('b');
    await client.submit('chain', 'zombie', 'n');
    await fleet.ledger.called('b');
    const [frozen] = fleet.workers;
    frozen?.signal('SIGSTOP');
    const other = await fleet.startWorker();
    await fleet.ledger.called('b', 2);
    frozen?.signal('SIGCONT');
    fleet.ledger.release('b');
    await client.settled();
    expect(await check(fleet, client.acknowledged, { steps, repeats: 1 })).toEqual([]);
    expect(other.log.some((line) => line.includes('"status":"succeeded"'))).toBe(true);
  });

  it('told to leave under load hands back what it cannot finish, and exits 0', async () => {
    const { fleet, client } = await start({ workers: 2 });
    const load = client.drive({ graph: 'chain', threads: 20, count: 150, width: 5 });
    await fleet.ledger.called('b', 20);
    const leaving = fleet.workers.shift();
    expect(await leaving?.end('SIGTERM')).toBe(0);
    await load;
    await client.settled();
    expect(await check(fleet, client.acknowledged, { steps })).toEqual([]);
  });
});

describe('a gateway', () => {
  it('killed under load: the client’s retry finds the run it made, or makes it', async () => {
    const { fleet, client } = await start({ gateways: 3 });
    const load = client.drive({ graph: 'echo', threads: 20, count: 300, width: 6 });
    for (const calls of [40, 120]) {
      await fleet.ledger.called('echo', calls);
      const victim = fleet.gateways[1];
      if (victim) await fleet.kill(victim);
      await fleet.startGateway();
    }
    await load;
    await client.settled();
    expect(await check(fleet, client.acknowledged, { steps })).toEqual([]);
  });
});
