import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { projectRoot } from '../../../scripts/paths.ts';
import { freePort } from '../../../scripts/ports.ts';
import type { Engine } from './engine.ts';

const BUILD_MS = 900_000;
/** Images are fetched here, too. */
const UP_MS = 600_000;
const HEALTHY_MS = 180_000;
const DOWN_MS = 180_000;

export interface Scale {
  gateway: number;
  worker: number;
}

/** docker-compose.yml under a name, image and ports of its own. */
export class Project {
  readonly name = `millrace-check-${randomBytes(3).toString('hex')}`;
  readonly image = `millrace:${this.name}`;
  readonly key = randomBytes(16).toString('hex');
  readonly engine: Engine;
  readonly ports: Record<'PORT' | 'PROMETHEUS_PORT' | 'GRAFANA_PORT', number>;

  private constructor(engine: Engine, ports: Project['ports']) {
    this.engine = engine;
    this.ports = ports;
  }

  static async create(engine: Engine): Promise<Project> {
    const [PORT, PROMETHEUS_PORT, GRAFANA_PORT] = [await freePort(), await freePort(), await freePort()];
    return new Project(engine, { PORT, PROMETHEUS_PORT, GRAFANA_PORT });
  }

  /** Where callers come in. */
  get url(): string {
    return `http://127.0.0.1:${this.ports.PORT}`;
  }

  /** The image that a service is made of, as the file or the environment names it. */
  imageOf(service: string): string {
    const file = parse(readFileSync(join(projectRoot, 'docker-compose.yml'), 'utf8'), { merge: true });
    const [, variable = '', standard = ''] = /^\$\{(\w+):-(.+)\}$/.exec(file.services[service].image) ?? [];
    return this.engine.env[variable] || standard;
  }

  /** @param network for what the build downloads, when the engine's own has no way out: `host` */
  async build(network: string | undefined): Promise<void> {
    const base = this.engine.env.NODE_IMAGE;
    const options = [
      ...(base ? ['--build-arg', `NODE_IMAGE=${base}`] : []),
      ...(network ? ['--network', network] : []),
    ];
    await this.engine.docker(
      ['build', '--file', 'deploy/Dockerfile', '--tag', this.image, ...options, '.'],
      BUILD_MS,
    );
  }

  /** Brings so many of each up, or down to so many, beside what `more` names, and waits until all of them are well. */
  async up(scale: Scale, more: string[] = []): Promise<void> {
    const single = ['redis', 'load-balancer', ...more];
    const counts = Object.entries(scale).flatMap(([service, count]) => ['--scale', `${service}=${count}`]);
    const services = [...Object.keys(scale), ...single];
    await this.#compose(['up', '--detach', '--no-build', '--no-recreate', ...counts, ...services], UP_MS);
    await this.healthy({ ...scale, ...Object.fromEntries(single.map((service) => [service, 1])) });
  }

  /** Waits until so many containers of each service run and say they are well. */
  async healthy(wanted: Record<string, number>): Promise<void> {
    const enough = Date.now() + HEALTHY_MS;
    for (const [service, count] of Object.entries(wanted)) {
      for (;;) {
        const states = await this.#states(service);
        if (states.length === count && states.every((state) => state === 'healthy')) break;
        if (Date.now() > enough) {
          const log = await this.#compose(['logs', '--tail', '30', service], DOWN_MS);
          throw new Error(`${count} × ${service} should be healthy, and are ${states.join(', ')}:\n${log}`);
        }
        await sleep(500);
      }
    }
  }

  /** Ids of the service's containers that run. */
  async containers(service: string): Promise<string[]> {
    return this.#list(['ps', '--quiet'], [`com.docker.compose.service=${service}`]);
  }

  /** The sum of a metric's samples in one container of an app. */
  async metric(container: string, name: string): Promise<number> {
    const script = `process.stdout.write(await (await fetch('http://127.0.0.1:9464/metrics')).text())`;
    const node = ['node', '--input-type=module', '--eval', script];
    const page = await this.engine.docker(['exec', container, ...node]);
    const samples = page
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
    return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  /** Removes containers, volumes, network and image. @throws Error that names what is left */
  async down(): Promise<void> {
    await this.#compose(['down', '--volumes', '--remove-orphans'], DOWN_MS);
    await this.engine.docker(['image', 'rm', '--force', this.image]);
    const left = [
      ...(await this.#list(['ps', '--all', '--quiet'])),
      ...(await this.#list(['volume', 'ls', '--quiet'])),
      ...(await this.#list(['network', 'ls', '--quiet'])),
    ];
    if (left.length > 0) throw new Error(`${this.name} is not all gone: ${left.join(', ')}`);
  }

  async #states(service: string): Promise<string[]> {
    const ids = await this.containers(service);
    if (ids.length === 0) return [];
    // One that goes between the two questions is asked about again.
    const said = await this.engine
      .docker(['inspect', '--format', '{{.State.Health.Status}}', ...ids])
      .catch(() => '');
    return said.split('\n').filter(Boolean);
  }

  async #list(command: string[], labels: string[] = []): Promise<string[]> {
    const filters = [`com.docker.compose.project=${this.name}`, ...labels].flatMap((label) => [
      '--filter',
      `label=${label}`,
    ]);
    return (await this.engine.docker([...command, ...filters])).split('\n').filter(Boolean);
  }

  #compose(args: string[], timeoutMs: number): Promise<string> {
    const files = ['docker-compose.yml', 'deploy/compose/check/workers.yaml'].flatMap((file) => [
      '--file',
      file,
    ]);
    const ports = Object.entries(this.ports).map(([name, port]) => [name, `${port}`]);
    const env = { ...Object.fromEntries(ports), API_KEYS: this.key, MILLRACE_IMAGE: this.image };
    // Without the .env of this folder, and with everything that a profile adds: `down` must find it.
    const settings = ['--env-file', 'deploy/compose/check/settings.env'];
    const options = ['--project-name', this.name, ...settings, '--profile', 'observability'];
    return this.engine.compose([...options, ...files, ...args], env, timeoutMs);
  }
}
