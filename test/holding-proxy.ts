import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** Passes on what is sent to Redis until it has seen a text in it; from there on it holds everything back. */
export async function holdingProxy(target: string, text: string) {
  const url = new URL(target);
  const { hostname, port } = url;
  const sockets = new Set<Socket>();
  let seen = () => {};
  const held = new Promise<void>((resolve) => {
    seen = resolve;
  });
  let waiting: (() => void)[] | undefined;
  let released = false;
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        client.destroy();
        upstream.destroy();
      });
    }
    upstream.pipe(client);
    client.on('data', (chunk: Buffer) => {
      if (!released && chunk.includes(text)) waiting ??= [];
      if (!waiting) upstream.write(chunk);
      else {
        waiting.push(() => upstream.write(chunk));
        seen();
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: url.href,
    held,
    release: () => {
      released = true;
      for (const send of waiting ?? []) send();
      waiting = undefined;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
