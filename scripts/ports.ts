import { connect, createServer } from 'node:net';
import { UserError } from './say.ts';

/** The address at which this machine reaches a server that listens on `host`. */
function reachableHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  return host === '::' ? '::1' : host;
}

export function httpUrl(host: string, port: number): string {
  const name = reachableHost(host);
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`;
}

/** True when something answers at the port, or when it cannot be bound. */
export async function portInUse(host: string, port: number): Promise<boolean> {
  // Binding alone is not enough: on macOS 127.0.0.1 binds next to a server that has the wildcard address.
  return (await answers(reachableHost(host), port)) || (await listenOn(host, port)) === undefined;
}

export async function freePort(host = '127.0.0.1'): Promise<number> {
  const port = await listenOn(host, 0);
  if (port === undefined) throw new UserError(`no free port on ${host}`);
  return port;
}

/** Below what systems hand out by themselves, and with room above for a second port of the same server. */
const LASTING = { from: 10_000, to: 22_000 };

/** A free port for a server that goes and comes back: nobody is given it meanwhile as the local end of a connection. */
export async function lastingPort(host = '127.0.0.1'): Promise<number> {
  for (;;) {
    const port = LASTING.from + Math.floor(Math.random() * (LASTING.to - LASTING.from));
    if (!(await portInUse(host, port))) return port;
  }
}

/** The first free port from `from` on that is not in `taken`; 0 means any. */
export async function nextFreePort(host: string, from: number, taken: Set<number>): Promise<number> {
  if (from === 0) return freePort(host);
  for (let port = from; port <= 65535; port++) {
    if (!taken.has(port) && !(await portInUse(host, port))) return port;
  }
  throw new UserError(`no free port on ${host} from ${from} on`);
}

function answers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1000 });
    const done = (answered: boolean) => {
      socket.destroy();
      resolve(answered);
    };
    socket.on('connect', () => done(true));
    socket.on('timeout', () => done(false));
    socket.on('error', () => done(false));
  });
}

function listenOn(host: string, port: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else if (error.code === 'EACCES') reject(new UserError(`this user may not listen on port ${port}`));
      else reject(new UserError(`cannot listen on ${host}: ${error.code ?? error.message} (check HOST)`));
    });
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : undefined));
    });
  });
}
