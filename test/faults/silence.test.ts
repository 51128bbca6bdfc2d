import { once } from 'node:events';
import { createLogger } from '@millrace/shared/logger';
import { connect, whenReady } from '@millrace/shared/redis';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TcpProxy } from './tcp-proxy.ts';

let test: TestRedis;
let route: TcpProxy;

beforeEach(async () => {
  test = await testRedis({ oneServer: true });
  route = await TcpProxy.start(test.url);
});
afterEach(async () => {
  await route.close();
  await test.close();
});

it('connections that die without a word are replaced, and what was not answered is asked again', async () => {
  const open = (role: Parameters<typeof connect>[1]) =>
    connect({ url: route.url }, role, createLogger('test', 'silent'));
  const [worker, subscriber] = [open('worker'), open('subscriber')];
  await Promise.all([worker, subscriber].map(whenReady));
  const channel = test.keys.pingChannel('x');
  await subscriber.subscribe(channel);
  // As the queue does with the connection it blocks, which it also closes and opens again.
  const blocking = worker.duplicate();
  await blocking.ping();
  blocking.disconnect();
  await once(blocking, 'end');

  route.break('dead');
  const answer = worker.get('nothing');
  const connecting = blocking.connect().catch(() => undefined);
  // This one dies in its handshake.
  await once(blocking, 'connect');
  route.heal();

  expect(await answer).toBeNull();
  await connecting;
  expect(await blocking.ping()).toBe('PONG');
  const calling = setInterval(() => void test.redis.publish(channel, 'x'), 100);
  expect(await once(subscriber, 'message')).toEqual([channel, 'x']);
  clearInterval(calling);
  for (const one of [worker, subscriber, blocking]) one.disconnect();
});
