import { afterEach, beforeEach, expect, it } from 'vitest';
import { PARTITIONS } from './partition.ts';
import { type Place, TenantList } from './tenant-list.ts';
import { type TestRedis, testRedis } from './test-redis.ts';

let test: TestRedis;
let list: TenantList;
beforeEach(async () => {
  test = await testRedis();
  list = new TenantList(test.redis, test.keys, keyOf);
});
afterEach(() => test.close());

const keyOf = (root: string, tenant: string) => `${root}:list:${tenant}`;

it('gives each once where many have one score, in whatever partitions', async () => {
  const all: Place[] = Array.from({ length: 60 }, (_, n) => ({
    score: Math.floor(n / 20),
    id: String(n).padStart(2, '0'),
  }));
  for (const { score, id } of all) {
    const root = test.keys.root((Number(id) * 7) % PARTITIONS);
    await test.redis.zadd(keyOf(root, 't'), score, id);
  }
  for (const limit of [1, 7, 20, 60]) {
    const found: string[] = [];
    let next: Place | undefined;
    do {
      const page = await list.page('t', { limit, after: next }, async (id) => id);
      expect(page.items.length).toBeLessThanOrEqual(limit);
      found.push(...page.items);
      next = page.next;
    } while (next);
    expect(found).toEqual(all.map((one) => one.id).reverse());
  }
});
