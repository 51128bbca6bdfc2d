import type { TestRedis } from '@millrace/shared/test-redis';
import type { Asked } from '../autoscale/demand.ts';

/** Redis as an autoscaler asks it that knows only the prefix of a deployment: the test's own stands in its place. */
export function namespaced({ redis, keys }: TestRedis): Asked['redis'] {
  return {
    eval: (script, count, key) =>
      redis.eval(script, count, `${key}`.replace('{millrace}', `{${keys.prefix}}`)),
  };
}
