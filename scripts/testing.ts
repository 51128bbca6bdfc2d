// What the tests in this folder share.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';
import { findServers } from './find-redis.ts';
import { projectRoot, redisCacheDir } from './paths.ts';

/** A folder that is removed when the test is over. */
export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-scripts-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export function executable(file: string, text: string): string {
  writeFileSync(file, text);
  chmodSync(file, 0o755);
  return file;
}

/** True while a process runs; one that is only waiting to be collected does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const status = `/proc/${pid}/status`;
  return !existsSync(status) || !/^State:\s*Z/m.test(readFileSync(status, 'utf8'));
}

/** A PATH with everything this machine has except any server and Docker. */
export function pathWithoutServers(): string {
  const farm = tempDir();
  for (const dir of (process.env.PATH ?? '').split(delimiter)) {
    if (!existsSync(dir)) continue;
    for (const name of readdirSync(dir)) {
      const link = join(farm, name);
      if (!/^(redis|valkey|docker)/.test(name) && !existsSync(link)) tryLink(join(dir, name), link);
    }
  }
  return farm;
}

function tryLink(target: string, link: string): void {
  try {
    symlinkSync(target, link);
  } catch {
    // a dangling one of the same name came first
  }
}

/** A shell line that becomes the server this machine has, however it came by it; none where only Docker has one. */
export async function serverLine(): Promise<string | undefined> {
  for await (const program of findServers({ env: process.env, cacheDir: redisCacheDir, log: () => {} })) {
    const { command, env } = program.invoke({ port: 0, dataDir: '' });
    if (command === 'docker') return undefined;
    return `LD_LIBRARY_PATH='${env?.LD_LIBRARY_PATH ?? ''}' exec '${command}'`;
  }
  return undefined;
}

/** Runs a TypeScript module text as a process of its own; it tells things by printing JSON lines. */
export function runModule(
  text: string,
  env: NodeJS.ProcessEnv = {},
): Promise<{ child: ChildProcess; told: unknown }> {
  const file = join(tempDir(), 'main.mts');
  writeFileSync(file, text);
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), file], {
    cwd: projectRoot,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  return new Promise((resolve, reject) => {
    createInterface(child.stdout).on('line', (line) => resolve({ child, told: JSON.parse(line) }));
    child.once('exit', (code) => reject(new Error(`the module ended with ${code}`)));
  });
}

/** The URL of a module in this folder, for the text of `runModule`. */
export function moduleUrl(name: string): string {
  return new URL(name, import.meta.url).href;
}

/**
 * Stands in for a gateway or a worker: listens, says that it is ready, and writes down what becomes of it.
 * FAKE=dies ends at once, FAKE=deaf never becomes ready, FAKE=stubborn ignores what asks it to leave.
 */
export function fakeApp(dir: string): {
  command(role: string): { file: string; args: string[] };
  journal(): string[];
} {
  const file = join(dir, 'app.mjs');
  const journal = join(dir, 'journal');
  writeFileSync(journal, '');
  writeFileSync(
    file,
    `import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
const role = process.argv[2];
const { FAKE, HOST, PORT, WORKER_PORT, REDIS_URL, EXIT_ON_STDIN_CLOSE } = process.env;
const note = (text) => appendFileSync(${JSON.stringify(journal)}, role + ' ' + text + '\\n');
if (FAKE === 'dies' && role === 'worker') {
  console.log('a last word');
  process.exit(3);
}
const port = Number(role === 'gateway' ? PORT : WORKER_PORT);
const server = createServer((_, res) => res.writeHead(FAKE === 'deaf' ? 503 : 200).end());
server.listen(port, HOST, () => note('up ' + port));
let leaving = false;
const leave = (why) => {
  if (leaving || FAKE === 'stubborn') return;
  leaving = true;
  note(why);
  const { hostname, port } = new URL(REDIS_URL);
  const redis = connect(Number(port), hostname);
  const end = (state) => { note('gone, redis ' + state); process.exit(0); };
  redis.on('connect', () => end('up')).on('error', () => end('down'));
};
process.on('SIGTERM', () => leave('asked'));
if (EXIT_ON_STDIN_CLOSE === '1') process.stdin.on('end', () => leave('launcher gone')).resume();
`,
  );
  return {
    command: (role) => ({ file: process.execPath, args: [file, role] }),
    journal: () => readFileSync(journal, 'utf8').trimEnd().split('\n'),
  };
}
