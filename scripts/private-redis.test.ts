import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type PrivateRedis, type RedisOptions, startRedis } from './private-redis.ts';
import { askRedis } from './redis-ping.ts';
import { isExecutable } from './redis-server-binary.ts';
import {
  executable,
  isAlive,
  moduleUrl,
  pathWithoutServers,
  runModule,
  serverLine,
  tempDir,
} from './testing.ts';

let server: string | undefined;
beforeAll(async () => {
  server = await serverLine();
}, 300_000);

async function start(options: Partial<RedisOptions> = {}): Promise<{ redis: PrivateRedis; said: string[] }> {
  const said: string[] = [];
  const where = options.dataDir === undefined ? { ephemeral: true } : {};
  const redis = await startRedis({ ...where, log: (line) => said.push(line), ...options });
  onTestFinished(redis.stop);
  return { redis, said };
}

const ask = (redis: PrivateRedis, ...command: string[]) => askRedis(redis.url, command, { timeoutMs: 5000 });
const info = (redis: PrivateRedis, section: string, name: string) =>
  ask(redis, 'EVAL', `return {ok = redis.call('info', '${section}'):match('${name}:(%w+)')}`, '0');

describe('routes', () => {
  test('a server on PATH is used; one that cannot be executed or is too old counts as absent', async (context) => {
    context.skip(server === undefined, 'only Docker has a server here');
    const [locked, old, good] = [tempDir(), tempDir(), tempDir()];
    chmodSync(executable(join(locked, 'redis-server'), ''), 0o000);
    executable(join(old, 'redis-server'), '#!/bin/sh\necho "Redis server v=6.0.16 sha=0"\n');
    executable(join(good, 'valkey-server'), `#!/bin/sh\n${server} "$@"\n`);
    const env = { PATH: `${locked}:${old}:${good}:/usr/bin:/bin` };
    // What the machine itself has in /usr/bin comes last, and redis-server before valkey-server.
    const expected = isExecutable('/usr/bin/redis-server')
      ? '/usr/bin/redis-server'
      : join(good, 'valkey-server');
    const { redis } = await start({ env, cacheDir: tempDir() });
    expect(redis.describe).toContain(expected);
    expect(await ask(redis, 'PING')).toBe('+PONG');
  });

  test('Docker is used when its daemon answers, and its container removed', async (context) => {
    context.skip(server === undefined, 'only Docker has a server here');
    const [bin, notes] = [tempDir(), join(tempDir(), 'notes')];
    // Stands in for the client: gives the server what the container would have given it.
    executable(
      join(bin, 'docker'),
      `#!/bin/sh
echo "$*" >> '${notes}'
case $1 in
  version) echo 27.0.1 ;;
  info) echo '[name=seccomp]' ;;
  run)
    for word; do case $word in 127.0.0.1:*:6379) port=\${word#*:} ;; *:/data) dir=\${word%:/data} ;; esac; done
    sed "s/^port .*/port \${port%:*}/; s/^bind .*/bind 127.0.0.1/; s#^dir .*#dir $dir#" > "$dir/conf"
    ${server} "$dir/conf" ;;
esac
`,
    );
    for (const tool of ['sh', 'sed']) executable(join(bin, tool), `#!/bin/sh\nexec /bin/${tool} "$@"\n`);
    const { redis } = await start({ env: { PATH: bin }, cacheDir: tempDir() });
    expect(redis.describe).toMatch(/in Docker 27\.0\.1/);
    expect(await info(redis, 'memory', 'maxmemory_policy')).toBe('+noeviction');
    await redis.stop();
    const log = readFileSync(notes, 'utf8');
    expect(log).toMatch(/--user \d+:\d+/);
    expect(log).toMatch(/^rm --force millrace-redis-/m);
  });

  test('on Debian and Ubuntu the package is unpacked into the project, once', {
    timeout: 300_000,
  }, async (context) => {
    const env = { ...process.env, PATH: pathWithoutServers() };
    const cacheDir = tempDir();
    if (!existsSync(join(env.PATH, 'apt-get')) || !existsSync(join(env.PATH, 'dpkg-deb'))) {
      await expect(start({ env, cacheDir })).rejects.toThrow(/^No Redis to use\. .*REDIS_URL/);
      return;
    }
    const first = await start({ env, cacheDir }).catch((error: Error) => error);
    if (first instanceof Error) {
      expect(first.message).toMatch(/^No Redis to use\. .*REDIS_URL.*apt could not fetch/);
      const offline = /resolve|connect|timed out|too long|unreachable/i.test(first.message);
      return offline
        ? context.skip(`the package mirror cannot be reached: ${first.message}`)
        : expect.fail(first.message);
    }
    expect(first.said.join('\n')).toMatch(/Fetching .*\nUnpacking redis-tools, .*liblzf1/);
    expect(first.redis.describe).toContain(cacheDir);
    expect(await ask(first.redis, 'PING')).toBe('+PONG');
    expect(readdirSync(cacheDir)).toEqual(['root']);
    const second = await start({ env, cacheDir });
    expect(second.said.join('\n')).not.toContain('Fetching');
    expect(await ask(second.redis, 'PING')).toBe('+PONG');
  });

  test('without any route, one line says what to do', async () => {
    const failure = await start({ env: { PATH: tempDir() }, cacheDir: tempDir() }).catch(
      (error: Error) => error,
    );
    expect(failure).toBeInstanceOf(Error);
    expect((failure as Error).message).toMatch(/^No Redis to use\. .*REDIS_URL.*\.$/);
  });
});

describe('the server', () => {
  test('with a data folder it keeps everything, one launcher at a time', async () => {
    const dataDir = join(tempDir(), 'data with "quotes"');
    const { redis } = await start({ dataDir });
    expect(await info(redis, 'memory', 'maxmemory_policy')).toBe('+noeviction');
    expect(await info(redis, 'persistence', 'aof_enabled')).toBe('+1');
    expect(await ask(redis, 'SET', 'kept', 'value')).toBe('+OK');
    await expect(start({ dataDir })).rejects.toThrow(`in use by another start (process ${process.pid})`);
    await redis.stop();
    const { redis: again } = await start({ dataDir });
    expect(await ask(again, 'STRLEN', 'kept')).toBe(':5');
  });

  test('is for those who have the password, and is gone when it was stopped', async () => {
    const { redis } = await start();
    const { port } = new URL(redis.url);
    await expect(askRedis(`redis://127.0.0.1:${port}`, ['PING'], { timeoutMs: 5000 })).rejects.toThrow(
      'NOAUTH',
    );
    expect(await info(redis, 'persistence', 'aof_enabled')).toBe('+0');
    await redis.stop();
    expect(isAlive(redis.pid)).toBe(false);
  });

  test('ends when its launcher is killed, and another can take over the data', async () => {
    const dataDir = tempDir();
    const { child, told } = await runModule(`
      import { startRedis } from '${moduleUrl('./private-redis.ts')}';
      const redis = await startRedis({ dataDir: ${JSON.stringify(dataDir)}, log: () => {} });
      process.stdout.write(JSON.stringify({ pid: redis.pid, url: redis.url }) + '\\n');
      setInterval(() => {}, 1000);
    `);
    const first = told as { pid: number; url: string };
    expect(await askRedis(first.url, ['SET', 'kept', 'value'], { timeoutMs: 5000 })).toBe('+OK');
    child.kill('SIGKILL');
    await once(child, 'exit');
    // The lock waits for the server that is still closing.
    const { redis } = await start({ dataDir });
    expect(isAlive(first.pid)).toBe(false);
    expect(await ask(redis, 'STRLEN', 'kept')).toBe(':5');
  });

  test('without a data folder, a killed launcher leaves no files either', async () => {
    const text = `
      import { startRedis } from '${moduleUrl('./private-redis.ts')}';
      const redis = await startRedis({ ephemeral: true, log: () => {} });
      process.stdout.write(JSON.stringify(redis.pid) + '\\n');
      setInterval(() => {}, 1000);
    `;
    const folder = tempDir();
    const { child, told } = await runModule(text, { TMPDIR: folder });
    const kept = () => readdirSync(folder).filter((name) => name.startsWith('millrace-redis-'));
    expect(kept()).toHaveLength(1);
    child.kill('SIGKILL');
    await expect.poll(() => isAlive(told as number), { timeout: 20_000 }).toBe(false);
    await expect.poll(kept, { timeout: 5000 }).toEqual([]);
  });
});
