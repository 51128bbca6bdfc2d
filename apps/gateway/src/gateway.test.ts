import { request } from 'node:http';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { Catalog } from '@millrace/shared/catalog';
import { Lifecycle } from '@millrace/shared/lifecycle';
import { createLogger } from '@millrace/shared/logger';
import { RunStore } from '@millrace/shared/run-store';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readConfig } from './config.ts';
import { type Gateway, startGateway } from './gateway.ts';
import { catalogEntry } from './gateway-testing.ts';

const logger = createLogger('test', 'silent');

let test: TestRedis;
let redis: Wire;
let gateways: Gateway[];

beforeEach(async () => {
  test = await testRedis({ oneServer: true });
  redis = await Wire.to(test.url);
  gateways = [];
  await new Catalog(test.redis, test.keys).publish([catalogEntry('agent')]);
});
afterEach(async () => {
  for (const gateway of gateways) await gateway.stop();
  await redis.close();
  await test.close();
});

const configOf = (env: Record<string, string> = {}) =>
  readConfig({ REDIS_URL: redis.url, REDIS_PREFIX: test.keys.prefix, PORT: '0', DRAIN_SECONDS: '5', ...env });

async function start(env: Record<string, string> = {}): Promise<Gateway> {
  const gateway = await startGateway(configOf(env), logger);
  gateways.push(gateway);
  return gateway;
}

const post = (gateway: Gateway, headers: Record<string, string> = { Prefer: 'wait=0' }) =>
  fetch(`${gateway.url}/message`, { method: 'POST', body: '{"query": "hi"}', headers });

describe('a gateway', () => {
  it('serves, is ready, and leaves nothing open', async () => {
    const gateway = await start();
    expect((await fetch(`${gateway.url}/readyz`)).status).toBe(200);
    expect((await post(gateway)).status).toBe(202);
    expect((await fetch(`${gateway.url}/assistants/search`, { method: 'POST' })).status).toBe(200);
    await gateway.stop();
    await expect(fetch(gateway.url)).rejects.toThrow();
  });

  it('shares everything with its like', async () => {
    const [one, two] = [await start(), await start()];
    const accepted = await post(one);
    expect((await fetch(`${two.url}${accepted.headers.get('Location')}`)).status).toBe(200);
  });

  it('puts probes on a port of their own when told to', async () => {
    const gateway = await start({ OPS_PORT: '0' });
    expect((await fetch(`${gateway.opsUrl}/metrics`)).status).toBe(200);
    expect((await fetch(`${gateway.opsUrl}/readyz`)).status).toBe(200);
    expect((await fetch(`${gateway.opsUrl}/scale/default`)).status).toBe(200);
    expect((await fetch(`${gateway.opsUrl}/message/x`)).status).toBe(404);
    for (const path of ['metrics', 'livez', 'readyz', 'scale/default']) {
      expect((await fetch(`${gateway.url}/${path}`)).status).toBe(404);
    }
  });

  it('refuses a body without a length when it is too long', async () => {
    const gateway = await start();
    const { hostname, port } = new URL(gateway.url);
    const status = await new Promise((resolve, reject) => {
      const upload = request({ hostname, port, path: '/message', method: 'POST' }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      upload.on('error', reject);
      for (let i = 0; i < 32; i++) upload.write(Buffer.alloc(64 * 1024, ' '));
      upload.end();
    });
    expect(status).toBe(413);
  });

  it('says which address it cannot have', async () => {
    const { port } = new URL((await start()).url);
    await expect(startGateway(configOf({ PORT: port }), logger)).rejects.toThrow('EADDRINUSE');
  });
});

describe('leaving', () => {
  it('answers what waits, cuts streams short of their end, and stops in order', async () => {
    const gateway = await start({ WAIT_SECONDS: '60' });
    const accepted = await post(gateway);
    const location = `${gateway.url}${accepted.headers.get('Location')}`;
    const stream = await rawGet(location, { Accept: 'text/event-stream' });
    const other = await post(gateway);
    const waiting = fetch(`${gateway.url}${other.headers.get('Location')}?wait=60`);
    await watched(other.headers.get('Location') ?? '');
    await stream.has('retry: 1000\n');
    await gateway.stop();
    expect((await waiting).status).toBe(200);
    // The final chunk of a complete answer is `0`.
    expect(await stream.ended).not.toContain('\r\n0\r\n');
  });
});

describe('an outage of Redis', () => {
  it('is waited for at the start: alive, not ready, 503', async () => {
    const { port } = new URL((await start({})).url);
    await gateways.pop()?.stop();
    redis.cut();
    const starting = startGateway(configOf({ PORT: port }), logger);
    const url = `http://127.0.0.1:${port}`;
    await up(`${url}/livez`);
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    const refused = await post({ url } as Gateway);
    expect(refused.status).toBe(503);
    expect(refused.headers.get('Retry-After')).toBe('1');
    redis.mend();
    gateways.push(await starting);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    expect((await post({ url } as Gateway)).status).toBe(202);
  });

  it('is given up waiting for when the process leaves', async () => {
    redis.cut();
    const life = new Lifecycle(logger, 1_000);
    const starting = startGateway(configOf(), logger, life);
    const failed = expect(starting).rejects.toThrow('was closed');
    await life.stop('told to');
    await failed;
  });

  it('is a 503 and a metric, and passes', async () => {
    const gateway = await start();
    expect((await post(gateway)).status).toBe(202);
    redis.cut();
    const refused = await post(gateway);
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ code: 'unavailable' });
    expect((await fetch(`${gateway.url}/readyz`)).status).toBe(200);
    const away = await (await fetch(`${gateway.url}/metrics`)).text();
    expect(away).toContain('millrace_redis_up 0\n');
    for (const name of ['queue_demand{', 'outbox_runs ', 'held_runs{', 'redis_noeviction{']) {
      expect(away).not.toContain(`\nmillrace_${name}`);
    }
    redis.mend();
    while ((await post(gateway)).status !== 202);
    expect(await (await fetch(`${gateway.url}/metrics`)).text()).toContain(
      'millrace_queue_demand{queue="default"}',
    );
  });

  it('is no reason for a stream to miss or repeat anything', async () => {
    const gateway = await start();
    const accepted = await post(gateway);
    const location = accepted.headers.get('Location') ?? '';
    const url = `${gateway.url}${location}`;
    const stream = await rawGet(url, { Accept: 'text/event-stream' });
    const store = new RunStore(test.redis, { keys: test.keys });
    const run = location.slice('/message/'.length);
    const claim = await store.claim(
      run,
      { worker: 'w', nonce: 'n', leaseMs: 60_000, crashBudget: 3 },
      { token: 0, head: '' },
    );
    if (claim.outcome !== 'claimed') throw new Error(claim.outcome);
    await store.emit(run, claim.lease, 1, [{ name: 'updates', data: '1' }]);
    await stream.has('event: updates');
    redis.cut();
    await store.finish(run, claim.lease, { status: 'succeeded' });
    redis.mend();
    const seen = eventsOf(await stream.ended);
    // The stream may have broken off; then it is taken up where it did.
    while (seen.at(-1)?.event !== 'end') {
      const headers = { Accept: 'text/event-stream', 'Last-Event-ID': seen.at(-1)?.id ?? '' };
      seen.push(...eventsOf(await (await rawGet(url, headers)).ended));
    }
    expect(seen.map((one) => one.event)).toEqual(['updates', 'end']);
  });
});

function eventsOf(text: string): { id: string; event: string }[] {
  return [...text.matchAll(/^id: (.*)\nevent: (.*)$/gm)].map(([, id = '', event = '']) => ({ id, event }));
}

/** Waits until a gateway waits for the message. */
async function watched(location: string): Promise<void> {
  const channel = test.keys.eventChannel(location.slice('/message/'.length));
  while ((await test.redis.pubsub('NUMSUB', channel))[1] === 0);
}

async function up(url: string): Promise<void> {
  while (!(await fetch(url).catch(() => undefined))?.ok);
}

/** A GET whose answer is kept as it came over the wire. */
async function rawGet(url: string, headers: Record<string, string>) {
  const { hostname, port, pathname, host } = new URL(url);
  const socket = connect(Number(port), hostname);
  let text = '';
  let heard: (() => void) | undefined;
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    heard?.();
  });
  const ended = new Promise<string>((resolve) => {
    socket.on('close', () => resolve(text));
    socket.on('error', () => undefined);
  });
  const lines = Object.entries({ Host: host, Connection: 'close', ...headers }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  socket.write(`GET ${pathname} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
  const has = async (part: string) => {
    while (!text.includes(part)) await new Promise<void>((resolve) => (heard = resolve));
  };
  return { ended, has };
}

/** The way to Redis, which can be cut. */
class Wire {
  readonly #target: URL;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isCut = false;

  static async to(url: string): Promise<Wire> {
    const wire = new Wire(new URL(url));
    await new Promise<void>((resolve) => wire.#server.listen(0, '127.0.0.1', resolve));
    return wire;
  }

  private constructor(target: URL) {
    this.#target = target;
    this.#server = createServer((near) => {
      if (this.#isCut) return void near.destroy();
      const far = connect(Number(target.port), target.hostname);
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          this.#sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.pipe(far).pipe(near);
    });
  }

  get url(): string {
    // The server behind may want a password.
    const url = new URL(this.#target);
    url.host = `127.0.0.1:${(this.#server.address() as { port: number }).port}`;
    return url.href;
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
