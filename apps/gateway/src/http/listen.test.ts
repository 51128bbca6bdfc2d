import { once } from 'node:events';
import { connect } from 'node:net';
import { Hono } from 'hono';
import { expect, it } from 'vitest';
import type { HttpEnv } from './env.ts';
import { listen } from './listen.ts';

it('does not wait for a connection that has never sent a request', async () => {
  const server = await listen(new Hono<HttpEnv>(), { host: '127.0.0.1', port: 0 });
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  await once(socket, 'connect');
  // A whole request on another connection, so that the first one has certainly been accepted.
  await (await fetch(server.url)).text();
  const closed = once(socket, 'close');
  socket.resume();
  await server.close(2 ** 31 - 1);
  await closed;
});

it('lets a request at work finish', async () => {
  const app = new Hono<HttpEnv>();
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let start = () => {};
  const started = new Promise<void>((resolve) => {
    start = resolve;
  });
  app.get('/', async (c) => {
    start();
    await released;
    return c.text('done');
  });
  const server = await listen(app, { host: '127.0.0.1', port: 0 });
  const answer = fetch(server.url);
  await started;
  const closed = server.close(2 ** 31 - 1);
  release();
  expect(await (await answer).text()).toBe('done');
  await closed;
});
