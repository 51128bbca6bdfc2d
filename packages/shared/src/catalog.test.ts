import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Catalog } from './catalog.ts';
import type { GraphDescription } from './contract/catalog.ts';
import { type TestRedis, testRedis } from './test-redis.ts';

let test: TestRedis;
let catalog: Catalog;

beforeEach(async () => {
  test = await testRedis();
  catalog = new Catalog(test.redis, test.keys);
});
afterEach(() => test.close());

const entry = (graph: string, revision: string): GraphDescription => ({
  graph,
  revision,
  assistantId: '6ba7b810-9dad-51d1-80b4-00c04fd430c8',
  description: '',
  queue: 'default',
  inputSchema: { type: 'object', properties: {}, required: [] },
  outputSchema: null,
  stateSchema: null,
  configSchema: null,
  contextSchema: null,
  conversational: true,
  drawing: { nodes: [], edges: [] },
});

const shown = async () => (await catalog.list()).map(({ graph, revision }) => `${graph} ${revision}`);

/** Publishes it for the last time, and waits until that no longer counts. */
async function leave(graph: string, revision: string): Promise<void> {
  await catalog.publish([entry(graph, revision)], 1);
  while (await catalog.isServed(graph, revision));
}

it('gives back what was published, by name', async () => {
  await catalog.publish([entry('b', '1'), entry('a', '1')]);
  const [first, second] = await catalog.list();
  expect(first).toEqual({ ...entry('a', '1'), since: expect.any(Number), publishedAt: expect.any(Number) });
  expect(second).toEqual({ ...entry('b', '1'), since: first?.since, publishedAt: first?.publishedAt });
});

describe('of several revisions of a graph', () => {
  it('the one that came last is shown, whoever publishes again or comes back', async () => {
    await catalog.publish([entry('a', 'old'), entry('b', 'old')]);
    const [before] = await catalog.list();
    await catalog.publish([entry('a', 'new')]);
    const [after] = await catalog.list();
    expect(after?.since).toBeGreaterThanOrEqual(before?.since ?? 0);
    await catalog.publish([entry('a', 'old'), entry('b', 'old')]);
    await leave('a', 'old');
    await catalog.publish([entry('a', 'old'), entry('b', 'old')]);
    expect(await shown()).toEqual(['a new', 'b old']);
    await catalog.publish([entry('a', 'new')]);
    expect((await catalog.list())[0]).toEqual({ ...after, publishedAt: expect.any(Number) });
  });

  it('an older one is shown again when the newer one is served no more, and not beside it', async () => {
    await catalog.publish([entry('a', 'old')]);
    await catalog.publish([entry('a', 'new')]);
    await leave('a', 'new');
    // Nobody has said otherwise.
    expect(await shown()).toEqual(['a new']);
    await catalog.publish([entry('a', 'old')]);
    expect(await shown()).toEqual(['a old']);
    await catalog.publish([entry('a', 'new')]);
    await catalog.publish([entry('a', 'old')]);
    expect(await shown()).toEqual(['a new']);
  });

  it('of graphs whose names begin alike, each has its own', async () => {
    await catalog.publish([entry('a', '1')]);
    await catalog.publish([entry('a-b', '2'), entry('ab', '2')]);
    await catalog.publish([entry('a', '1')]);
    expect(await shown()).toEqual(['a 1', 'a-b 2', 'ab 2']);
  });
});

it('forgets a revision a week after it was served', async () => {
  await catalog.publish([entry('a', 'old')]);
  const { redis, keys } = test;
  await redis.zadd(keys.catalogServed(), Date.now() - 8 * 24 * 3600_000, 'a@old');
  await catalog.publish([entry('a', 'new')]);
  expect(await redis.hkeys(keys.catalogSince())).toEqual(['a@new']);
});

it('leaves out what only a later version can read', async () => {
  await catalog.publish([entry('a', '1')]);
  await test.redis.hset(test.keys.catalog(), 'z', '{"version":2,"graph":{"name":"z"}}');
  expect(await shown()).toEqual(['a 1']);
});
