import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasEnded, type RunRecord } from '@millrace/shared/contract/run';
import { RunStore } from '@millrace/shared/run-store';
import type { Redis } from 'ioredis';
import type { AppProcess } from '../processes.ts';
import type { Fleet } from './fleet.ts';
import { LoadClient } from './load.ts';

/** Of so many clients two begin runs of their own, one by each face; the others look at one that is there. */
const GROUP = 20;
const OWN = 2;

/** Clients that ask much of a gateway and then do not do as clients should. */
export class Crowd {
  readonly #fleet: Fleet;
  readonly #gateway: AppProcess;
  readonly #redis: Redis;
  #rounds = 0;

  constructor(fleet: Fleet, gateway: AppProcess) {
    this.#fleet = fleet;
    this.#gateway = gateway;
    this.#redis = fleet.redis.connect();
  }

  /**
   * Clients stream, join and wait for a run, and begin some by /message and MCP; when all are at it, they vanish. Resolves
   * when nobody is subscribed to anything any more and the runs have ended, to what became of those.
   *
   * The fleet's workers have `TEST_LEDGER`, and can execute all the runs at once.
   */
  async vanish(count: number): Promise<(RunRecord | undefined)[]> {
    const { ledger } = this.#fleet;
    this.#rounds += 1;
    const name = `crowd-${this.#rounds}`;
    const begins = Array.from({ length: count }, (_, i) => i).filter((i) => i % GROUP < OWN);
    ledger.hold('query');
    ledger.hold('echo');
    const before = ledger.count('query');
    const watched = await new LoadClient(this.#fleet).submit('echo', name, 'watched');
    const sockets = await Promise.all(
      Array.from({ length: count }, (_, i) => this.#open(requestOf(i, watched, `${name}-${i}`))),
    );
    await Promise.all([
      ledger.called('query', before + begins.length),
      // These are told something at once; who only waits is not.
      ...sockets.filter((_, i) => hearsAtOnce(i)).map((socket) => once(socket, 'data')),
    ]);
    sockets.forEach((socket, i) => {
      if (i % 2 === 0) socket.destroy();
      else socket.resetAndDestroy();
    });
    await this.#unwatched();
    ledger.release('query');
    ledger.release('echo');
    return Promise.all([name, ...begins.map((i) => `${name}-${i}`)].map((thread) => this.#ended(thread)));
  }

  /** Clients ask for the events of a run and never read. */
  async neverRead(count: number, path: string): Promise<Socket[]> {
    return Promise.all(
      Array.from({ length: count }, () =>
        this.#open(get(path, 'Accept: text/event-stream\r\nConnection: close\r\n'), 'unread'),
      ),
    );
  }

  close(): void {
    this.#redis.disconnect();
  }

  async #open(request: string, reading?: 'unread'): Promise<Socket> {
    const { hostname, port, host } = new URL(this.#gateway.url);
    const socket = connect(Number(port), hostname);
    // From the first byte on: the kernel makes room for more where something was read.
    if (reading === 'unread') socket.pause();
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.write(request.replace('Host:', `Host: ${host}`));
    return socket;
  }

  /** Waits until no gateway listens for the events of any run. */
  async #unwatched(): Promise<void> {
    const pattern = this.#fleet.keys.eventChannel('*');
    while (((await this.#redis.pubsub('CHANNELS', pattern)) as string[]).length > 0) await sleep(20);
  }

  /** The newest run of a thread, when it has ended. */
  async #ended(thread: string): Promise<RunRecord | undefined> {
    const { read } = new RunStore(this.#redis, { keys: this.#fleet.keys });
    for (;;) {
      const [run] = await read.runsOfThread('default', thread, { limit: 1, offset: 0 });
      if (!run || hasEnded(run.status)) return run;
      await sleep(50);
    }
  }
}

function requestOf(i: number, watched: { thread: string; runId: string }, thread: string): string {
  const { runId } = watched;
  switch (i % GROUP) {
    case 0:
      return post('/message', 'Prefer: wait=60\r\n', { query: 'x', graph: 'query', thread_id: thread });
    case 1:
      return post('/mcp', 'Accept: application/json, text/event-stream\r\n', {
        jsonrpc: '2.0',
        id: 1,
        method: 'tools/call',
        params: { name: 'query', arguments: { query: 'x', thread_id: thread }, _meta: { progressToken: 1 } },
      });
    case 2:
    case 3:
    case 4:
      return get(`/message/${runId}?wait=60`);
    case 5:
    case 6:
    case 7:
      return get(`/threads/${watched.thread}/runs/${runId}/join`);
    case 8:
    case 9:
    case 10:
      return get(`/threads/${watched.thread}/runs/${runId}/stream?stream_mode=values,messages`);
    default:
      return get(`/message/${runId}`, 'Accept: text/event-stream\r\n');
  }
}

function hearsAtOnce(i: number): boolean {
  return i % GROUP > 4;
}

function get(path: string, headers = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost:\r\n${headers}\r\n`;
}

function post(path: string, headers: string, body: unknown): string {
  const text = JSON.stringify(body);
  return `POST ${path} HTTP/1.1\r\nHost:\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n${headers}\r\n${text}`;
}
