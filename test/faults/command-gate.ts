import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net';

/** Whether a command, given with its arguments, is counted. */
type Counts = (args: string[]) => boolean;

/** A way to Redis that counts commands, and can close before one of them. */
export class CommandGate {
  readonly url: string;
  readonly #server: Server;
  readonly #links = new Set<Link>();
  #closed = false;
  #stop: { left: number; counts: Counts; reached: () => void } | undefined;

  private constructor(server: Server, target: URL) {
    this.#server = server;
    this.url = `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (client) => {
      const redis = dial(Number(target.port), target.hostname);
      const link = new Link(client, redis, (args) => this.#mayPass(args));
      this.#links.add(link);
      for (const socket of [client, redis]) {
        socket.on('error', () => link.cut());
        socket.on('close', () => {
          link.cut();
          this.#links.delete(link);
        });
      }
    });
  }

  static async start(targetUrl: string): Promise<CommandGate> {
    const server = createServer({ noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new CommandGate(server, new URL(targetUrl));
  }

  /** Closes before the given one of the commands that count, the next being 1. Resolves when it is closed. */
  closeBefore(number: number, counts: Counts): Promise<void> {
    return new Promise((reached) => {
      this.#stop = { left: number, counts, reached };
    });
  }

  /** Opens again. Connections that were held go down, and what they had to say is lost, as if their process was. */
  open(): void {
    this.#stop = undefined;
    if (!this.#closed) return;
    this.#closed = false;
    for (const link of this.#links) link.cut();
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const link of this.#links) link.cut();
    await closed;
  }

  #mayPass(args: string[]): boolean {
    if (!this.#closed && this.#stop?.counts(args)) {
      this.#stop.left -= 1;
      this.#closed = this.#stop.left === 0;
      if (this.#closed) this.#stop.reached();
    }
    return !this.#closed;
  }
}

/** One client's connection and the one to Redis that belongs to it. */
class Link {
  readonly #client: Socket;
  readonly #redis: Socket;
  #unread: Buffer = Buffer.alloc(0);

  constructor(client: Socket, redis: Socket, mayPass: (args: string[]) => boolean) {
    this.#client = client;
    this.#redis = redis;
    redis.pipe(client, { end: false });
    client.on('data', (data) => {
      this.#unread = Buffer.concat([this.#unread, data]);
      for (;;) {
        const command = firstCommand(this.#unread);
        // Once closed it stays so: what comes after the one that was held is held with it.
        if (!command || !mayPass(command.args)) return;
        this.#redis.write(this.#unread.subarray(0, command.length));
        this.#unread = this.#unread.subarray(command.length);
      }
    });
  }

  cut(): void {
    this.#client.destroy();
    this.#redis.destroy();
  }
}

/** The first whole command of what a client sent, as RESP has it: an array of bulk strings. */
function firstCommand(bytes: Buffer): { args: string[]; length: number } | undefined {
  let at = 0;
  const number = (): number | undefined => {
    const end = bytes.indexOf('\r\n', at);
    if (end < 0) return undefined;
    const value = Number(bytes.toString('latin1', at + 1, end));
    at = end + 2;
    return value;
  };
  const count = number();
  if (count === undefined) return undefined;
  const args: string[] = [];
  for (let i = 0; i < count; i++) {
    const length = number();
    if (length === undefined || bytes.length < at + length + 2) return undefined;
    args.push(bytes.toString('latin1', at, at + length));
    at += length + 2;
  }
  return { args, length: at };
}
