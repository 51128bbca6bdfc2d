import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net';

/**
 * What becomes of what is sent.
 *
 * - `open`: it arrives
 * - `held`: it arrives when the way is open again, as TCP has it when the network was away for a while
 * - `dead`: it is lost, and each connection that was there meanwhile stays dead without a word, as behind a router that
 *   has forgotten it
 * - `refused`: connections are reset, and so is every new one
 */
type Passage = 'open' | 'held' | 'dead' | 'refused';

type Direction = 'request' | 'reply';

/** A way to a Redis that can be slow, broken, or lose replies. */
export class TcpProxy {
  /** What to connect to in place of the target; with its credentials. */
  readonly url: string;
  readonly #server: Server;
  readonly #target: URL;
  readonly #links = new Set<Link>();
  #passage: Passage = 'open';
  #delayMs: readonly [number, number] = [0, 0];
  #loses: (reply: Buffer) => boolean = () => false;
  #rewrites: (reply: Buffer) => Buffer = (reply) => reply;
  #lost = 0;

  private constructor(server: Server, target: URL) {
    this.#server = server;
    this.#target = target;
    const through = new URL(target);
    through.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.url = through.href;
    server.on('connection', (client) => this.#accept(client));
  }

  static async start(targetUrl: string): Promise<TcpProxy> {
    const server = createServer({ noDelay: true, allowHalfOpen: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new TcpProxy(server, new URL(targetUrl));
  }

  /** From now on everything takes this much longer, each way: from `fromMs` to `toMs`, in order. */
  delay(fromMs: number, toMs = fromMs): void {
    this.#delayMs = [fromMs, toMs];
  }

  /** Breaks the way; the kinds are told at {@link Passage}. */
  break(how: Exclude<Passage, 'open'>): void {
    this.#passage = how;
    for (const link of this.#links) {
      if (how === 'refused') link.reset();
      else if (how === 'dead') link.die();
    }
  }

  /** Opens the way again. */
  heal(): void {
    this.#passage = 'open';
    for (const link of this.#links) link.flush();
  }

  /**
   * Cuts the connection in place of passing on a reply that the function picks: what was asked was done, and nobody
   * hears of it.
   */
  loseReplies(picks: (reply: Buffer) => boolean): void {
    this.#loses = picks;
  }

  /** How many replies were lost. */
  get lost(): number {
    return this.#lost;
  }

  /** Puts one text in place of another in what the server says. Both of one length, since replies carry theirs. */
  rewrite(from: string, to: string): void {
    if (from.length !== to.length) throw new RangeError(`"${from}" and "${to}" differ in length`);
    this.#rewrites = (reply) => Buffer.from(reply.toString('latin1').replaceAll(from, to), 'latin1');
  }

  /**
   * Breaks only the connections on which this text was among the first that was asked; new ones are as welcome as before.
   *
   * @returns how many they were
   */
  breakThose(asked: string, how: 'dead' | 'reset'): number {
    const those = [...this.#links].filter((link) => link.beginning.includes(asked));
    for (const link of those) {
      if (how === 'dead') link.die();
      else link.reset();
    }
    return those.length;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const link of this.#links) link.reset();
    await closed;
  }

  #accept(client: Socket): void {
    if (this.#passage === 'refused') {
      client.on('error', () => undefined);
      client.resetAndDestroy();
      return;
    }
    const { port, hostname } = this.#target;
    const server = dial({ port: Number(port), host: hostname, noDelay: true, allowHalfOpen: true });
    const link = new Link(client, server, {
      passage: () => this.#passage,
      delayMs: () => this.#delayMs[0] + Math.random() * (this.#delayMs[1] - this.#delayMs[0]),
      loses: (reply) => {
        const picked = this.#loses(reply);
        if (picked) this.#lost += 1;
        return picked;
      },
      rewritten: (reply) => this.#rewrites(reply),
      closed: () => this.#links.delete(link),
    });
    this.#links.add(link);
    if (this.#passage === 'dead') link.die();
  }
}

interface Weather {
  passage: () => Passage;
  delayMs: () => number;
  loses: (reply: Buffer) => boolean;
  rewritten: (reply: Buffer) => Buffer;
  closed: () => void;
}

const BEGINNING_BYTES = 4096;

/** One client's connection and the one to the server that belongs to it. */
class Link {
  /** What the client asked first. */
  beginning = '';
  readonly #sockets: Record<Direction, Socket>;
  readonly #weather: Weather;
  readonly #waiting: Record<Direction, { due: number; send: () => void }[]> = { request: [], reply: [] };
  readonly #timers: Partial<Record<Direction, NodeJS.Timeout>> = {};
  #dead = false;
  #over = false;

  constructor(client: Socket, server: Socket, weather: Weather) {
    this.#sockets = { request: server, reply: client };
    this.#weather = weather;
    for (const [from, direction] of [
      [client, 'request'],
      [server, 'reply'],
    ] as const) {
      from.on('data', (data) => this.#pass(direction, data));
      // Its other side hears of it after what was sent before, if it hears of anything.
      from.on('end', () => this.#enqueue(direction, () => this.#sockets[direction].end()));
      from.on('error', () => this.reset());
      from.on('close', () => {
        if (client.destroyed && server.destroyed) this.#end();
      });
    }
  }

  /** Sends what was held. */
  flush(): void {
    for (const direction of ['request', 'reply'] as const) this.#pump(direction);
  }

  die(): void {
    this.#dead = true;
    this.#waiting.request.length = 0;
    this.#waiting.reply.length = 0;
  }

  reset(): void {
    for (const socket of Object.values(this.#sockets)) if (!socket.destroyed) socket.resetAndDestroy();
    this.#end();
  }

  #pass(direction: Direction, data: Buffer): void {
    if (this.#dead) return;
    if (direction === 'request' && this.beginning.length < BEGINNING_BYTES)
      this.beginning += data.toString('latin1');
    if (direction === 'reply' && this.#weather.loses(data)) {
      this.reset();
      return;
    }
    const bytes = direction === 'reply' ? this.#weather.rewritten(data) : data;
    this.#enqueue(direction, () => this.#sockets[direction].write(bytes));
  }

  #enqueue(direction: Direction, send: () => void): void {
    if (this.#dead || this.#over) return;
    this.#waiting[direction].push({ due: performance.now() + this.#weather.delayMs(), send });
    this.#pump(direction);
  }

  #pump(direction: Direction): void {
    const waiting = this.#waiting[direction];
    clearTimeout(this.#timers[direction]);
    while (waiting[0] && this.#weather.passage() === 'open') {
      const left = waiting[0].due - performance.now();
      if (left > 0) {
        this.#timers[direction] = setTimeout(() => this.#pump(direction), left);
        return;
      }
      waiting.shift()?.send();
    }
  }

  #end(): void {
    this.#over = true;
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    this.#weather.closed();
  }
}
