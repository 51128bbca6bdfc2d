import { once } from 'node:events';
import { connect } from 'node:net';
import type { HttpBindings } from '@hono/node-server';
import { Hono } from 'hono';
import { expect, it } from 'vitest';
import type { HttpEnv } from './env.ts';
import { listen } from './listen.ts';

const address = { host: '127.0.0.1', port: 0, stallMs: 60_000 };

it('does not wait for a connection that has never sent a request', async () => {
  const server = await listen(new Hono<HttpEnv>(), address);
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
  const server = await listen(app, address);
  const answer = fetch(server.url);
  await started;
  const closed = server.close(2 ** 31 - 1);
  release();
  expect(await (await answer).text()).toBe('done');
  await closed;
});

it('cuts off a client that does not read what it asked for, and none that waits', async () => {
  const app = new Hono<HttpEnv>();
  // More than the buffers of both ends of a connection take.
  const much = 'x'.repeat(64 * 1024 * 1024);
  let cut = () => {};
  const isCut = new Promise<void>((resolve) => {
    cut = resolve;
  });
  app.get('/much', (c) => {
    (c.env as HttpBindings).outgoing.once('close', cut);
    return c.text(much);
  });
  let answer = () => {};
  const answered = new Promise<void>((resolve) => {
    answer = resolve;
  });
  app.get('/late', async (c) => {
    await answered;
    return c.text('late');
  });
  const server = await listen(app, { ...address, stallMs: 100 });
  const { port, host } = new URL(server.url);
  // Quiet for longer than a stall.
  const late = fetch(`${server.url}/late`);
  const unread = connect(Number(port), '127.0.0.1');
  unread.write(`GET /much HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  await isCut;
  unread.on('error', () => undefined);
  let received = 0;
  unread.on('data', (chunk) => {
    received += chunk.length;
  });
  await new Promise((resolve) => unread.once('close', resolve));
  expect(received).toBeLessThan(much.length);
  answer();
  expect(await (await late).text()).toBe('late');
  await server.close(0);
});
