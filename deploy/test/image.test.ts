import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectRoot } from '../../scripts/paths.ts';
import { runCommand } from '../../scripts/run-command.ts';
import { deployDir } from './kustomize.ts';

// The first stage of the image, step by step as the Dockerfile has it, in a folder instead of a container.

/** What is not in the machine's store of packages is downloaded. */
const INSTALL_MS = 110_000;

const dockerfile = readFileSync(join(deployDir, 'Dockerfile'), 'utf8').replace(/\\\n\s*/g, '');
const [, dependencies = '', final = ''] = dockerfile.split(/^FROM /m);

interface Bom {
  metadata: { component: { name: string; version: string } };
  components: { group?: string; name: string; version: string }[];
}

let dir: string;
let bom: Bom;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'millrace-image-'));
  for (const [, instruction, rest = ''] of dependencies.matchAll(/^(COPY|RUN) (.*)$/gm)) {
    if (instruction === 'RUN') {
      const result = await runCommand('sh', ['-c', rest], { timeoutMs: INSTALL_MS, cwd: dir });
      if (result.code !== 0) throw new Error(`${rest}: ${result.stdout}${result.stderr}`);
      continue;
    }
    const files = rest.split(' ');
    const target = files.pop() ?? '';
    for (const file of files) {
      const to = join(dir, target, file.split('/').at(-1) ?? '');
      mkdirSync(dirname(to), { recursive: true });
      cpSync(join(projectRoot, file), to);
    }
  }
  const path = /millrace\.sbom="\/app\/([^"]+)"/.exec(final)?.[1] ?? '';
  bom = JSON.parse(readFileSync(join(dir, path), 'utf8'));
}, INSTALL_MS);

afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** `name@version` of a folder's package.json. */
function packageAt(path: string): string {
  const { name, version } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'));
  return `${name}@${version}`;
}

/** The packages that have files of their own under node_modules. */
function installed(): string[] {
  const store = join(dir, 'node_modules/.pnpm');
  const names = readdirSync(store).flatMap((entry) => {
    const modules = join(store, entry, 'node_modules');
    if (entry === 'node_modules' || !existsSync(modules)) return [];
    return readdirSync(modules, { withFileTypes: true }).flatMap((one) => {
      const path = join(modules, one.name);
      if (!one.name.startsWith('@')) return one.isDirectory() ? [packageAt(path)] : [];
      const scoped = readdirSync(path, { withFileTypes: true }).filter((inner) => inner.isDirectory());
      return scoped.map((inner) => packageAt(join(path, inner.name)));
    });
  });
  return [...new Set(names)];
}

describe('the bill of materials', () => {
  it('lists what is installed and the packages of this repository, and nothing else', () => {
    const listed = bom.components.map(
      ({ group, name, version }) => `${group === undefined ? '' : `${group}/`}${name}@${version}`,
    );
    const own = ['packages/checkpoint-redis', 'packages/shared'].map((path) => packageAt(join(dir, path)));
    expect(installed().length).toBeGreaterThan(50);
    expect(listed.sort()).toEqual([...installed(), ...own].sort());
  });

  it('is of this version', () => {
    const { name, version } = bom.metadata.component;
    expect(`${name}@${version}`).toBe(packageAt(projectRoot));
  });
});

it('has no dev dependencies', () => {
  const manifests = ['package.json', 'apps/gateway/package.json', 'apps/worker/package.json'].map((file) =>
    JSON.parse(readFileSync(join(dir, file), 'utf8')),
  );
  const names = (kind: string) => manifests.flatMap((manifest) => Object.keys(manifest[kind] ?? {}));
  // tsx, with which a worker loads TypeScript graphs, brings esbuild.
  const wanted = [...names('dependencies'), 'esbuild'];
  const unwanted = names('devDependencies').filter((name) => !wanted.includes(name));
  expect(unwanted).toContain('vitest');
  expect(installed().filter((one) => unwanted.includes(one.slice(0, one.lastIndexOf('@'))))).toEqual([]);
});

it('runs as a user that owns nothing in it', () => {
  const steps = [...final.matchAll(/^(COPY|RUN|USER|CMD|HEALTHCHECK) ?(.*)$/gm)].map(([line]) => line);
  const user = steps.indexOf('USER node');
  expect(user).toBeGreaterThan(0);
  expect(steps.slice(user).filter((line) => /^(COPY|RUN)/.test(line))).toEqual([]);
  expect(steps.join('\n')).not.toContain('--chown');
  expect(steps.some((line) => line.startsWith('HEALTHCHECK'))).toBe(true);
});
