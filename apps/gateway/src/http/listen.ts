import type { Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import type { Hono } from 'hono';
import type { HttpEnv } from './env.ts';

/** Longer than load balancers keep a connection (60 s), so that they never write into one just closed. */
const KEEP_ALIVE_MS = 65_000;

export interface Listener {
  /** As `http://127.0.0.1:2024`. */
  url: string;
  /** Takes no new connections, and waits for the requests at work, `graceMs` at most. */
  close: (graceMs: number) => Promise<void>;
}

/**
 * @param options.stallMs how long a client may leave unread what waits for it here before its connection is cut
 * @throws Error of the operating system when the address cannot be had
 */
export async function listen(
  app: Hono<HttpEnv>,
  options: { host: string; port: number; stallMs: number },
): Promise<Listener> {
  const server = createAdaptorServer({
    fetch: app.fetch,
    serverOptions: { keepAliveTimeout: KEEP_ALIVE_MS },
  }) as Server;
  const connections = new Connections(server, options.stallMs);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return {
    url: urlOf(server.address() as AddressInfo),
    close: (graceMs) =>
      new Promise((resolve) => {
        const enough = setTimeout(() => server.closeAllConnections(), graceMs);
        server.close(() => {
          clearTimeout(enough);
          resolve();
        });
        connections.closeWhenIdle();
      }),
  };
}

/**
 * Which connections have a request at work. Node's own `closeIdleConnections` leaves those alone that have never sent
 * one, and clients open such connections ahead of need.
 */
class Connections {
  readonly #requests = new Map<Socket, number>();
  #closing = false;

  constructor(server: Server, stallMs: number) {
    // Node lets it pass while anything moves, a part of a large write too. Having a listener, we close for Node as well.
    server.setTimeout(stallMs, (socket) => {
      const idle = this.#requests.get(socket) === 0 && socket.bytesWritten > 0;
      // A request that has nothing to say for so long is one that waits for a run.
      if (idle || socket.writableLength > 0) socket.destroy();
    });
    server.on('connection', (socket: Socket) => {
      this.#requests.set(socket, 0);
      socket.once('close', () => this.#requests.delete(socket));
      this.#closeIfIdle(socket);
    });
    server.on('request', ({ socket }, response) => {
      this.#count(socket, 1);
      response.once('close', () => this.#count(socket, -1));
    });
  }

  /** Closes idle connections now, and the others when their request is answered. */
  closeWhenIdle(): void {
    this.#closing = true;
    for (const socket of this.#requests.keys()) this.#closeIfIdle(socket);
  }

  #count(socket: Socket, change: number): void {
    const requests = this.#requests.get(socket);
    if (requests === undefined) return;
    this.#requests.set(socket, requests + change);
    this.#closeIfIdle(socket);
  }

  #closeIfIdle(socket: Socket): void {
    if (this.#closing && this.#requests.get(socket) === 0) socket.destroySoon();
  }
}

function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
