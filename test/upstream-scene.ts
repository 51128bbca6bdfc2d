import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { type HttpUpstream, startUpstream } from './mcp-upstream.ts';
import { type AppProcess, startProcess } from './processes.ts';

/** What `/message` answers. */
export interface Answer {
  status: string;
  answer?: string;
  thread_id: string;
  run_id: string;
  questions?: { kind: string; value: { tool?: string } }[];
}

/** A gateway, and workers that are told of MCP servers. */
export interface UpstreamScene {
  redis: TestRedis;
  /** Of the gateway. */
  url: string;
  /** An MCP server on HTTP. */
  upstream: (port?: number) => Promise<HttpUpstream>;
  /** Resolves when it is ready and has reached the servers named. */
  worker: (mcpServers: object, env?: Record<string, string>, reached?: string[]) => Promise<AppProcess>;
  post: (body: object) => Promise<Answer>;
  /** What comes of a message to the agent. */
  ask: (query: string) => Promise<Answer>;
  /** Ends the workers and the servers. */
  clear: () => Promise<void>;
  close: () => Promise<void>;
}

/** How the fixture is started as a child. */
export const stdioServer = {
  command: process.execPath,
  args: ['--import', 'tsx', fileURLToPath(new URL('mcp-stdio.ts', import.meta.url))],
};

export async function startScene(): Promise<UpstreamScene> {
  const redis = await testRedis();
  const folder = await mkdtemp(join(tmpdir(), 'millrace-mcp-'));
  const processes: AppProcess[] = [];
  const upstreams: HttpUpstream[] = [];
  const start = async (app: 'gateway' | 'worker', env: Record<string, string> = {}) => {
    const started = await startProcess(app, { ...redis.env, LEASE_SECONDS: '1', DRAIN_SECONDS: '2', ...env });
    processes.push(started);
    return started;
  };
  const gateway = await start('gateway');
  const { url } = gateway;
  const clear = async () => {
    for (const one of upstreams) one.release();
    const workers = processes.splice(0).filter((one) => one !== gateway);
    await Promise.all(workers.map((one) => one.end('SIGTERM')));
    await Promise.all(upstreams.splice(0).map((one) => one.close()));
  };
  const post = async (body: object) => {
    const request = { method: 'POST', headers: { Prefer: 'wait=60' }, body: JSON.stringify(body) };
    return (await (await fetch(`${url}/message`, request)).json()) as Answer;
  };
  return {
    redis,
    url,
    upstream: async (port) => {
      const started = await startUpstream(port);
      upstreams.push(started);
      return started;
    },
    worker: async (mcpServers, env, reached = Object.keys(mcpServers)) => {
      const file = join(folder, `${randomUUID()}.json`);
      await writeFile(file, JSON.stringify({ mcpServers }));
      const worker = await start('worker', { MCP_SERVERS: file, ...env });
      await Promise.all(reached.map((name) => worker.logged(`the MCP server ${name} is up`)));
      return worker;
    },
    post,
    ask: (query) => post({ query }),
    clear,
    close: async () => {
      await clear();
      await gateway.end('SIGTERM');
      await redis.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** A number that a worker's `/metrics` has. */
export async function metric(worker: AppProcess, series: string): Promise<number | undefined> {
  const page = await (await fetch(`${worker.url}/metrics`)).text();
  const line = page.split('\n').find((one) => one.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length));
}
