import { projectRoot } from '../../../scripts/paths.ts';
import { runCommand } from '../../../scripts/run-command.ts';
import { UserError } from '../../../scripts/say.ts';

const ANSWER_MS = 15_000;

/** Programs and sockets of the person at the keyboard, and their images; no other settings of theirs. */
const KEPT =
  /^(PATH|HOME|TMPDIR|XDG_RUNTIME_DIR|(HTTP|HTTPS|NO)_PROXY|DOCKER_(HOST|CONFIG|CONTEXT|CERT_PATH|TLS_VERIFY|BUILDKIT)|(NODE|REDIS|LOAD_BALANCER|PROMETHEUS|GRAFANA)_IMAGE)$/i;

/** The docker command, and Compose in whichever form it is there: `docker compose` or `docker-compose`. */
export class Engine {
  readonly env: NodeJS.ProcessEnv;
  /** Ends the command at work and all to come. */
  signal: AbortSignal | undefined;
  readonly #compose: string[];

  private constructor(env: NodeJS.ProcessEnv, compose: string[]) {
    this.env = env;
    this.#compose = compose;
  }

  /** @throws UserError when no engine answers, or Compose is not there */
  static async find(environment: NodeJS.ProcessEnv): Promise<Engine> {
    const env = Object.fromEntries(Object.entries(environment).filter(([name]) => KEPT.test(name)));
    const ask = (file: string, args: string[]) => runCommand(file, args, { timeoutMs: ANSWER_MS, env });
    const answer = await ask('docker', ['version', '--format', '{{.Server.Version}}']);
    if (answer.code !== 0) {
      const why = answer.timedOut ? 'it took too long' : answer.stderr.trim();
      throw new UserError(`no container engine answers (${why}); start one, or set DOCKER_HOST`);
    }
    for (const [file = '', ...args] of [['docker', 'compose'], ['docker-compose']]) {
      if ((await ask(file, [...args, 'version'])).code === 0) return new Engine(env, [file, ...args]);
    }
    throw new UserError('neither `docker compose` nor `docker-compose` works here; install Compose');
  }

  /** @returns what it printed, @throws Error with what it complained of */
  async docker(args: string[], timeoutMs = 60_000): Promise<string> {
    return this.#run(['docker', ...args], this.env, timeoutMs);
  }

  async compose(args: string[], env: NodeJS.ProcessEnv, timeoutMs: number): Promise<string> {
    return this.#run([...this.#compose, ...args], { ...this.env, ...env }, timeoutMs);
  }

  /** Whether the image is here or can be fetched. */
  async hasImage(image: string, timeoutMs: number): Promise<boolean> {
    const here = await this.docker(['image', 'inspect', image]).catch(() => undefined);
    return (
      here !== undefined ||
      (await this.docker(['pull', image], timeoutMs).catch(() => undefined)) !== undefined
    );
  }

  async #run([file = '', ...args]: string[], env: NodeJS.ProcessEnv, timeoutMs: number): Promise<string> {
    const result = await runCommand(file, args, {
      timeoutMs,
      env,
      cwd: projectRoot,
      signal: this.signal,
    });
    if (result.code === 0) return result.stdout;
    const why = result.timedOut ? `took longer than ${timeoutMs / 1000} s` : `exited with ${result.code}`;
    const words = `${result.stdout}${result.stderr}`.trim().split('\n').slice(-20).join('\n');
    throw new Error(`${[file, ...args].join(' ')} ${why}:\n${words}`);
  }
}
