import { once } from 'node:events';
import { createLogger } from '@millrace/shared/logger';
import { connect, whenReady } from '@millrace/shared/redis';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TcpProxy } from './tcp-proxy.ts';

let test: TestRedis;
let route: TcpProxy;

beforeEach(async () => {
  test = await testRedis();
  route = await TcpProxy.start(test.url);
});
afterEach(async () => {
  await route.close();
  await test.close();
});

const open = (role: Parameters<typeof connect>[1]) =>
  connect({ url: route.url }, role, createLogger('test', 'silent'));

it('a connection that dies without a word is replaced, and what was not answered is asked again', async () => {
  const [worker, subscriber] = [open('worker'), open('subscriber')];
  await Promise.all([worker, subscriber].map(whenReady));
  const channel = test.keys.pingChannel('x');
  await subscriber.subscribe(channel);
  route.break('dead');
  const answer = worker.get('nothing');
  route.heal();
  expect(await answer).toBeNull();
  const calling = setInterval(() => void test.redis.publish(channel, 'x'), 100);
  expect(await once(subscriber, 'message')).toEqual([channel, 'x']);
  clearInterval(calling);
  for (const one of [worker, subscriber]) one.disconnect();
});

it('so is one that dies in its handshake, and one that was duplicated, as the queue does', async () => {
  const worker = open('worker');
  await whenReady(worker);
  const blocking = worker.duplicate();
  await blocking.ping();
  blocking.disconnect();
  await once(blocking, 'end');
  route.break('dead');
  const connecting = blocking.connect().catch(() => undefined);
  await once(blocking, 'connect');
  route.heal();
  await connecting;
  expect(await blocking.ping()).toBe('PONG');
  for (const one of [worker, blocking]) one.disconnect();
});
