import { randomBytes } from 'node:crypto';
import type { Found } from './redis-server-binary.ts';
import { runCommand } from './run-command.ts';
import type { Say } from './say.ts';

const image = 'valkey/valkey:8-alpine';
const pullLimitMs = 180_000;
const answerLimitMs = 4000;

/** Redis in a container, when a Docker daemon of this machine answers at once. */
export async function findDocker(
  env: NodeJS.ProcessEnv,
  log: Say,
  signal: AbortSignal | undefined,
): Promise<Found> {
  // A port that a distant daemon publishes on its own loopback is of no use here.
  if (/^(tcp|ssh|https?):/.test(env.DOCKER_HOST ?? '')) return { reason: 'Docker is on another machine' };
  const docker = (args: string[], timeoutMs = answerLimitMs) =>
    runCommand('docker', args, { timeoutMs, env, signal });
  const version = await docker(['version', '--format', '{{.Server.Version}}']);
  if (version.code !== 0) return { reason: 'Docker does not answer' };
  if ((await docker(['image', 'inspect', image])).code !== 0) {
    log(`Fetching the container image ${image} ...`);
    if ((await docker(['pull', '--quiet', image], pullLimitMs)).code !== 0) {
      return { reason: `Docker could not fetch ${image}` };
    }
  }
  // The data folder is the user's, so the server has to be the user as well. A rootless daemon already maps the
  // container's root to them.
  const security = await docker(['info', '--format', '{{.SecurityOptions}}']);
  const user = security.stdout.includes('rootless') ? '0:0' : `${process.getuid?.()}:${process.getgid?.()}`;
  return {
    program: {
      describe: `${image} in Docker ${version.stdout.trim()}`,
      invoke: ({ port, dataDir }) => {
        const name = `millrace-redis-${randomBytes(4).toString('hex')}`;
        const publish = ['--publish', `127.0.0.1:${port}:6379`, '--volume', `${dataDir}:/data`];
        const run = ['run', '--rm', '--interactive', '--name', name, '--user', user, ...publish];
        return {
          command: 'docker',
          // The client stays in the foreground and hands SIGTERM on, so it stands for the server.
          args: [...run, '--entrypoint', 'valkey-server', image, '-'],
          env,
          bind: '0.0.0.0',
          port: 6379,
          dir: '/data',
          cleanup: ['docker', 'rm', '--force', name],
        };
      },
    },
  };
}
