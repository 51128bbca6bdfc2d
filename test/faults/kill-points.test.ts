import { describe, expect, it } from 'vitest';
import type { AppProcess } from '../processes.ts';
import { type CheckOptions, check } from './checker.ts';
import { CommandGate } from './command-gate.ts';
import { Fleet } from './fleet.ts';
import { type Acknowledged, LoadClient } from './load.ts';

/**
 * A process is killed before each script that it sends to Redis, one after the other: at all points between which
 * anything can have changed. By default at some of them, beginning with a random one; at all with `KILL_POINTS=all`.
 */
const stride = process.env.KILL_POINTS === 'all' ? 1 : 10;

interface Scene {
  fleet: Fleet;
  gate: CommandGate;
  client: LoadClient;
}

async function withFleet(
  processes: { gateways: number; workers: number },
  play: (scene: Scene) => Promise<void>,
): Promise<void> {
  const fleet = await Fleet.start({ ...processes, env: { LEASE_SECONDS: '1' } });
  const gate = await CommandGate.start(fleet.redis.url);
  try {
    await play({ fleet, gate, client: new LoadClient(fleet) });
  } finally {
    const codes = await fleet.stop();
    await gate.close();
    expect(codes.filter((code) => code !== 0)).toEqual([]);
  }
}

/**
 * Does the same thing again and again, each time with the victim killed some points later, until it is through before
 * the point is reached.
 *
 * @returns how often the victim was killed
 */
async function killAtPoints(
  { fleet, gate }: Scene,
  startVictim: () => Promise<AppProcess>,
  act: (name: string) => Promise<unknown>,
  step = stride,
): Promise<number> {
  // Scripts of Millrace and of the queue; not what a worker waits with for its next job.
  const isMove = ([command = '', , , key = '']: string[]) =>
    /^eval/i.test(command) && key.includes(fleet.keys.prefix);
  let victim = await startVictim();
  for (let kills = 0, at = 1 + Math.floor(Math.random() * step); ; kills += 1, at += step) {
    const reached = gate.closeBefore(at, isMove).then(() => true);
    const acting = act(`point-${at}`);
    if (!(await Promise.race([reached, acting.then(() => false)]))) {
      gate.open();
      return kills;
    }
    await fleet.kill(victim);
    gate.open();
    victim = await startVictim();
    await acting;
  }
}

/** Submits, and waits for the end; what a graph asks is answered. */
const acts = {
  chain: (client) => run(client, 'chain'),
  siblings: (client) => run(client, 'siblings'),
  ask: (client) => async (thread) => {
    const asked = await run(client, 'ask')(thread);
    await client.outcome(await client.answer(asked, 'yes'));
  },
  approval: (client) => async (thread) => {
    const asked = await run(client, 'approval')(thread);
    await client.outcome(await client.goOn(asked));
  },
} satisfies Record<string, (client: LoadClient) => (thread: string) => Promise<unknown>>;

const run =
  (client: LoadClient, graph: string) =>
  async (thread: string): Promise<Acknowledged> => {
    const submitted = await client.submit(graph, thread, thread);
    await client.outcome(submitted);
    return submitted;
  };

const expected: Pick<CheckOptions, 'steps' | 'logs' | 'atOnce' | 'asking'> = {
  steps: {
    chain: ['a', 'b', 'c'],
    siblings: ['x', 'y', 'z', 'join'],
    ask: ['ask'],
    answer: ['ask', 'ask:answered', 'after'],
    approval: ['prepare'],
    approved: ['pay'],
  },
  logs: {
    ask: () => [],
    answer: (text) => [`ask:yes`, `after:${text}`],
  },
  // The step that asks calls twice.
  atOnce: { chain: 1, siblings: 3, ask: 1, answer: 2, approval: 1, approved: 1 },
  asking: ['ask', 'approval'],
};

describe.concurrent('a worker killed at any point', () => {
  it.for(['chain', 'siblings', 'ask', 'approval'] as const)(
    'of the graph `%s` repeats only what was not stored',
    async (graph) => {
      await withFleet({ gateways: 1, workers: 0 }, async (scene) => {
        const { fleet, gate, client } = scene;
        const act = acts[graph](client);
        const kills = await killAtPoints(scene, () => fleet.startWorker({ REDIS_URL: gate.url }), act);
        expect(kills).toBeGreaterThan(0);
        expect(await check(fleet, client.acknowledged, { ...expected, repeats: kills * 3 })).toEqual([]);
        const asked = client.acknowledged.filter((one) => one.graph === 'approval');
        expect(asked.map((one) => fleet.ledger.count('pay', one.runId)).filter((count) => count > 0)).toEqual(
          [],
        );
      });
    },
  );
});

describe('a gateway killed at any point of a submit', () => {
  it('has made nothing, or one run that the client’s retry finds', async () => {
    await withFleet({ gateways: 0, workers: 1 }, async (scene) => {
      const { fleet, gate, client } = scene;
      const startVictim = () => fleet.startGateway({ REDIS_URL: gate.url });
      const kills = await killAtPoints(
        scene,
        startVictim,
        (thread) => client.submit('echo', thread, thread),
        1,
      );
      expect(kills).toBeGreaterThan(0);
      await Promise.all(client.acknowledged.map((one) => client.outcome(one)));
      expect(await check(fleet, client.acknowledged, { steps: { echo: ['echo'] } })).toEqual([]);
    });
  });
});
