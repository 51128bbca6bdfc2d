import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { components, deployDir, kustomizations } from './kustomize.ts';
import { selectorsOf } from './promql.ts';
import { queries } from './queries.ts';

const pages = readdirSync(deployDir, { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.md') && !file.includes('node_modules'),
);

/** The name GitHub gives a heading. */
const anchor = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\w\s-]/g, '')
    .replace(/\s/g, '-');

it.each(pages)('%s leads only to what is there', (page) => {
  const text = readFileSync(join(deployDir, page), 'utf8');
  for (const [, target = ''] of text.matchAll(/\]\(([^)]+)\)/g)) {
    if (/^https?:/.test(target)) continue;
    const [path = '', part] = target.split('#');
    const file = path === '' ? page : join(dirname(page), path);
    expect({ target, there: existsSync(join(deployDir, file)) }).toEqual({ target, there: true });
    if (part === undefined) continue;
    const other = file.endsWith('.md') ? file : join(file, 'README.md');
    const headings = [...readFileSync(join(deployDir, other), 'utf8').matchAll(/^#+ (.*)$/gm)].map(
      ([, one = '']) => anchor(one),
    );
    expect(headings).toContain(part);
  }
});

it('names every component and overlay in the table of topics', () => {
  const text = readFileSync(join(deployDir, 'README.md'), 'utf8');
  const folders = [...components(), ...kustomizations('overlays')].map((dir) =>
    dir.split('/').slice(0, 2).join('/'),
  );
  expect([...new Set(folders)].filter((dir) => !text.includes(`(${dir})`))).toEqual([]);
});

it('names every alert where monitoring is described', () => {
  const text = readFileSync(join(deployDir, 'components/monitoring/README.md'), 'utf8');
  const alerts = readdirSync(join(deployDir, 'runbooks')).map((file) => file.replace('.md', ''));
  expect(alerts.filter((name) => !text.includes(name))).toEqual([]);
});

it('speaks only of metrics that a query uses', () => {
  const used = queries().flatMap(({ expr }) =>
    selectorsOf(expr).map(({ metric }) => metric.replace(/_bucket$/, '')),
  );
  for (const page of pages) {
    const text = readFileSync(join(deployDir, page), 'utf8');
    const named = [
      ...text.matchAll(
        /\b(?:millrace_|http_request)[a-z_]*(?:_total|_seconds|_ratio|_demand|_slots|_attempts)\b/g,
      ),
    ];
    for (const [metric] of named)
      expect({ page, metric, used: used.includes(metric) }).toEqual({ page, metric, used: true });
  }
});

it('shows YAML that can be read', () => {
  for (const page of pages) {
    const text = readFileSync(join(deployDir, page), 'utf8');
    for (const [, , block = ''] of text.matchAll(/^( *)```yaml\n(.*?)^ *```/gms)) {
      expect(() => parse(block)).not.toThrow();
    }
  }
});

it('tells the figures that base has', () => {
  const text = readFileSync(join(deployDir, 'README.md'), 'utf8').replace(/ +/g, ' ');
  const figures = (file: string) => {
    const { requests, limits } = parse(readFileSync(join(deployDir, file), 'utf8')).spec.template.spec
      .containers[0].resources;
    return { requests: `${requests.cpu}, ${requests.memory}`, limits: `${limits.cpu} CPU, ${limits.memory}` };
  };
  const [gateway, worker] = [figures('base/gateway.yaml'), figures('base/worker/worker.yaml')];
  expect(text).toContain(`| requests | ${gateway.requests} | ${worker.requests} |`);
  expect(text).toContain(`| limits | ${gateway.limits} | ${worker.limits} |`);
});
