import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { projectRoot } from '../../scripts/paths.ts';
import { deployDir } from './kustomize.ts';
import { workloads } from './pods.ts';
import { sets } from './sets.ts';

describe('the image', () => {
  let scripts: string[];
  beforeAll(async () => {
    const all = (await Promise.all(sets.map(({ load }) => load()))).flatMap(workloads);
    const commands = all.flatMap(({ containers }) => containers.map(({ command }) => command));
    scripts = [
      ...new Set(commands.flatMap(([program, script]) => (program === 'node' ? [script ?? ''] : []))),
    ];
  });

  it('has every script that a container runs', () => {
    expect(scripts.length).toBeGreaterThan(3);
    const copied = [
      ...readFileSync(join(deployDir, 'Dockerfile'), 'utf8').matchAll(/^COPY (?!--)(.*) \S+$/gm),
    ].flatMap(([, list = '']) => list.split(' '));
    const ignored = readFileSync(join(projectRoot, '.dockerignore'), 'utf8').split('\n');
    for (const script of scripts) {
      const from = copied.find((path) => script === path || script.startsWith(`${path}/`));
      expect({ script, copied: from !== undefined }).toEqual({ script, copied: true });
      expect(ignored).toContain(`!${from}`);
    }
  });
});
