import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AppProcess, startApp } from '../../scripts/app-process.ts';
import { projectRoot } from '../../scripts/paths.ts';
import { freePort, httpUrl } from '../../scripts/ports.ts';
import { startRedis } from '../../scripts/private-redis.ts';
import { complain, say } from '../../scripts/say.ts';
import type { Target } from './users.ts';

const READY_MS = 60_000;
const STOP_MS = 40_000;

/** A Redis, a gateway and workers of this machine, for as long as `use` takes. */
export async function onStage<T>(
  { workers, signal, force }: { workers: number; signal: AbortSignal; force: AbortSignal },
  use: (target: Target) => Promise<T>,
): Promise<T> {
  const scratch = await mkdtemp(join(tmpdir(), 'millrace-load-'));
  const apps: AppProcess[] = [];
  const redis = await startRedis({ dataDir: join(scratch, 'redis'), log: say, signal, graceSeconds: 10 });
  try {
    const key = randomBytes(16).toString('hex');
    const { PATH, HOME, TMPDIR } = process.env;
    const common = { PATH, HOME, TMPDIR, NODE_ENV: 'production', LOG_LEVEL: 'warn', REDIS_URL: redis.url };
    const start = async (name: string, app: string, env: (port: string) => NodeJS.ProcessEnv) => {
      const port = await freePort();
      const url = httpUrl('127.0.0.1', port);
      const started = startApp({
        name,
        file: process.execPath,
        args: ['--import', import.meta.resolve('tsx'), join(projectRoot, `apps/${app}/src/main.ts`)],
        cwd: scratch,
        env: { ...common, ...env(`${port}`) },
        readyUrl: `${url}/readyz`,
        logDir: scratch,
      });
      apps.push(started);
      if (started.pid !== undefined) redis.takeAlong(started.pid);
      await started.ready(READY_MS);
      return url;
    };
    const names = Array.from({ length: workers }, (_, i) => `worker-${i + 1}`);
    const [url = ''] = await Promise.all([
      start('gateway', 'gateway', (port) => ({ PORT: port, API_KEYS: key })),
      ...names.map((name) => start(name, 'worker', (port) => ({ WORKER_PORT: port, MODEL: 'demo' }))),
    ]);
    return await use({ url, key });
  } finally {
    for (const app of apps) {
      if (!(await app.stop(STOP_MS, force)))
        complain(`${app.name} did not stop in order:\n${app.lastWords()}`);
    }
    await redis.stop();
    await rm(scratch, { recursive: true, force: true });
  }
}
