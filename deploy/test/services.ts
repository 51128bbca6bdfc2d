import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { projectRoot } from '../../scripts/paths.ts';

/** What one service of docker-compose.yml has. */
export interface Service {
  image: string;
  build?: { dockerfile: string };
  profiles?: string[];
  entrypoint?: string[];
  command?: string[];
  environment?: Record<string, string | number | null>;
  ports?: string[];
  volumes?: string[];
  tmpfs?: string[];
  healthcheck?: { test: string[] };
  restart: string;
  read_only: boolean;
  cap_drop: string[];
  security_opt: string[];
  cpus: number;
  mem_limit: string;
  pids_limit: number;
  stop_grace_period?: string;
}

/** The services as Compose reads them when nobody has set a variable but `API_KEYS`. */
export function services(): Record<string, Service> {
  const text = readFileSync(join(projectRoot, 'docker-compose.yml'), 'utf8');
  const filled = text
    .replace(/\$\{API_KEYS:\?[^}]*\}/, 'a-key')
    .replace(/\$\{\w+:-([^}]*)\}/g, (_, value) => value);
  return parse(filled, { merge: true }).services;
}

/** Variables of a service that have a value. */
export function settings({ environment = {} }: Service): Record<string, string> {
  const set = Object.entries(environment).filter(([, value]) => value !== null);
  return Object.fromEntries(set.map(([name, value]) => [name, `${value}`]));
}

/** The file of this repository that a service sees at `path`. */
export function mounted({ volumes = [] }: Service, path: string): string {
  const found = volumes.map((one) => one.split(':')).find(([, to]) => to === path)?.[0];
  if (!found?.startsWith('./')) throw new Error(`nothing of this repository is mounted at ${path}`);
  return join(projectRoot, found);
}
