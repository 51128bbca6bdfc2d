import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import type { Hono } from 'hono';
import type { HttpEnv } from './env.ts';

/** Longer than load balancers keep a connection (60 s), so that they never write into one just closed. */
const KEEP_ALIVE_MS = 65_000;
const CLOSE_IDLE_MS = 20;

export interface Listener {
  /** As `http://127.0.0.1:2024`. */
  url: string;
  /** Takes no new connections, and waits for the requests at work, `graceMs` at most. */
  close: (graceMs: number) => Promise<void>;
}

/** @throws Error of the operating system when the address cannot be had */
export async function listen(app: Hono<HttpEnv>, address: { host: string; port: number }): Promise<Listener> {
  const server = createAdaptorServer({
    fetch: app.fetch,
    serverOptions: { keepAliveTimeout: KEEP_ALIVE_MS },
  }) as Server;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return { url: urlOf(server.address() as AddressInfo), close: (graceMs) => close(server, graceMs) };
}

function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

function close(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    // A connection that is kept alive becomes idle when its request is answered, and would then keep us.
    const idle = setInterval(() => server.closeIdleConnections(), CLOSE_IDLE_MS);
    const enough = setTimeout(() => server.closeAllConnections(), graceMs);
    server.close(() => {
      clearInterval(idle);
      clearTimeout(enough);
      resolve();
    });
    server.closeIdleConnections();
  });
}
