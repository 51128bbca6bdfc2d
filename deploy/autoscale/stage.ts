import { setMaxListeners } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type AppProcess, startApp } from '../../scripts/app-process.ts';
import { projectRoot } from '../../scripts/paths.ts';
import { freePort, httpUrl } from '../../scripts/ports.ts';
import { type PrivateRedis, startRedis } from '../../scripts/private-redis.ts';
import { runCommand } from '../../scripts/run-command.ts';
import { complain, say } from '../../scripts/say.ts';
import { prometheusProgram } from '../test/promtool.ts';
import { Fleet } from './fleet.ts';
import type { Way } from './ways.ts';

const READY_MS = 120_000;
const STOP_MS = 40_000;
const GATEWAYS = 2;

/** How often Prometheus scrapes, by `components/monitoring`. */
const SCRAPE_SECONDS = 15;

/** Everything around the workers: a Redis, gateways, a Prometheus that scrapes all. */
export interface Stage {
  redis: PrivateRedis;
  /** Where runs are sent. */
  gateway: string;
  ops: string;
  prometheus: string;
  fleet: Fleet;
}

export interface StageOptions {
  way: Way;
  factor: number;
  signal: AbortSignal;
  force: AbortSignal;
}

/** Puts everything up, with the catalog published and no worker, and takes it down after `use`. */
export async function onStage<T>(options: StageOptions, use: (stage: Stage) => Promise<T>): Promise<T> {
  const { way, factor, signal, force } = options;
  const scratch = await mkdtemp(join(tmpdir(), 'millrace-autoscale-'));
  // Everything that is stopped listens to it.
  setMaxListeners(0, force);
  const apps: AppProcess[] = [];
  const redis = await startRedis({ dataDir: join(scratch, 'redis'), log: say, signal, graceSeconds: 20 });
  let fleet: Fleet | undefined;
  try {
    const { PATH, HOME, TMPDIR } = process.env;
    const env = {
      ...Object.fromEntries(Object.entries({ PATH, HOME, TMPDIR }).filter(([, value]) => value)),
      REDIS_URL: redis.url,
      LOG_LEVEL: 'warn',
    } as Record<string, string>;
    const start = async (
      name: string,
      port: number,
      spec: { file: string; args: string[]; ready: string; env: Record<string, string> },
    ) => {
      const url = httpUrl('127.0.0.1', port);
      const { file, args } = spec;
      const app = startApp({
        name,
        file,
        args,
        cwd: scratch,
        env: spec.env,
        readyUrl: `${url}${spec.ready}`,
        logDir: scratch,
      });
      apps.push(app);
      if (app.pid !== undefined) redis.takeAlong(app.pid);
      const ended = app.exited.then(() => {
        throw new Error(`${name} ended:\n${app.lastWords()}`);
      });
      ended.catch(() => undefined);
      await Promise.race([app.ready(READY_MS), ended]);
      return url;
    };
    const startGateway = async (name: string) => {
      const [port, ops] = [await freePort(), await freePort()];
      const url = await start(name, port, {
        file: process.execPath,
        args: nodeArgs('apps/gateway/src/main.ts'),
        // Where an ops port is set, probes are there.
        ready: '/ok',
        env: { ...env, HOST: '127.0.0.1', PORT: `${port}`, OPS_PORT: `${ops}` },
      });
      return { name, url, ops: `127.0.0.1:${ops}` };
    };
    const workerEnv = {
      ...way.env,
      ...env,
      LANGGRAPH_CONFIG: fileURLToPath(new URL('langgraph.json', import.meta.url)),
      DRAIN_SECONDS: `${Number(way.env.DRAIN_SECONDS) / factor}`,
    };
    const names = Array.from({ length: GATEWAYS }, (_, i) => `millrace-gateway-${i + 1}`);
    const [gateways] = await Promise.all([
      Promise.all(names.map(startGateway)),
      publishCatalog(workerEnv, scratch),
    ]);
    await writeFile(
      join(scratch, 'gateways.json'),
      JSON.stringify(
        gateways.map(({ name, ops }) => ({
          targets: [ops],
          labels: { job: 'millrace-gateway', namespace: 'millrace', pod: name },
        })),
      ),
    );
    fleet = new Fleet({
      args: nodeArgs('apps/worker/src/main.ts'),
      cwd: scratch,
      env: workerEnv,
      graceMs: (way.graceSeconds * 1000) / factor,
      logDir: scratch,
      targetsFile: join(scratch, 'workers.json'),
      started: (pid) => redis.takeAlong(pid),
      force,
    });
    const config = join(scratch, 'prometheus.yml');
    await writeFile(config, prometheusConfig(scratch, factor));
    const port = await freePort();
    const prometheus = await start('prometheus', port, {
      file: await prometheusProgram('prometheus'),
      args: [
        `--config.file=${config}`,
        `--storage.tsdb.path=${join(scratch, 'tsdb')}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      ready: '/-/ready',
      env,
    });
    const [gateway] = gateways;
    if (!gateway) throw new Error('there is no gateway');
    return await use({ redis, gateway: gateway.url, ops: `http://${gateway.ops}`, prometheus, fleet });
  } finally {
    await fleet?.close();
    for (const app of apps.reverse()) {
      if (!(await app.stop(STOP_MS, force)))
        complain(`${app.name} did not stop in order:\n${app.lastWords()}`);
    }
    await redis.stop();
    await rm(scratch, { recursive: true, force: true });
  }
}

function nodeArgs(main: string): string[] {
  return ['--import', import.meta.resolve('tsx'), join(projectRoot, main)];
}

/** As the Job of components/scale-to-zero does. */
async function publishCatalog(env: Record<string, string>, cwd: string): Promise<void> {
  const args = nodeArgs('apps/worker/src/publish-catalog.ts');
  const { code, stderr } = await runCommand(process.execPath, args, { timeoutMs: READY_MS, env, cwd });
  if (code !== 0) throw new Error(`the catalog could not be published: ${stderr}`);
}

function prometheusConfig(dir: string, factor: number): string {
  const interval = `${Math.round((SCRAPE_SECONDS * 1000) / factor)}ms`;
  return JSON.stringify({
    global: { scrape_interval: interval, scrape_timeout: interval },
    scrape_configs: [
      {
        job_name: 'millrace',
        file_sd_configs: [
          { files: ['gateways', 'workers'].map((name) => join(dir, `${name}.json`)), refresh_interval: '1s' },
        ],
      },
    ],
  });
}
