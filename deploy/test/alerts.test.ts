import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { parse, stringify } from 'yaml';
import { runCommand } from '../../scripts/run-command.ts';
import { deployDir } from './kustomize.ts';
import { prometheusProgram } from './promtool.ts';
import { ruleFile, rules } from './queries.ts';
import { mounted, services } from './services.ts';

/** A download, where the machine has no Prometheus. */
const FETCH_MS = 400_000;

const story = join(deployDir, 'components/monitoring/tests/alerts.test.yaml');
const alerts = rules().filter(({ alert }) => alert !== undefined);
const names = [...new Set(alerts.map(({ alert = '' }) => alert))];
let promtool: string;

beforeAll(async () => {
  promtool = await prometheusProgram('promtool');
}, FETCH_MS);

function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-rules-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

async function run(args: string[], groups: unknown = ruleFile()) {
  const dir = scratch();
  writeFileSync(join(dir, 'alerts.yaml'), stringify(groups));
  copyFileSync(story, join(dir, 'alerts.test.yaml'));
  return runCommand(promtool, args, { timeoutMs: 120_000, cwd: dir });
}

it('keeps to what Prometheus takes for rules', async () => {
  const result = await run(['check', 'rules', 'alerts.yaml']);
  expect(result.stdout + result.stderr).toContain('SUCCESS');
  expect(result.code).toBe(0);
});

it('fires each alert in its story, and no other', async () => {
  const result = await run(['test', 'rules', 'alerts.test.yaml']);
  expect(result.stdout + result.stderr).not.toContain('FAILED');
  expect(result.code).toBe(0);
});

it('would notice of each alert that it had gone', async () => {
  const { groups } = ruleFile();
  const without = groups.map((group) => ({
    ...group,
    rules: group.rules.filter(({ alert }) => alert === undefined),
  }));
  const result = await run(['test', 'rules', 'alerts.test.yaml'], { groups: without });
  expect(result.code).not.toBe(0);
  const missed = [...`${result.stdout}${result.stderr}`.matchAll(/exp: .*?alertname="(\w+)"/gs)].map(
    ([, name]) => name,
  );
  expect([...new Set(missed)].sort()).toEqual([...names].sort());
});

it('gives Prometheus of Compose the same rules, in a configuration that it takes', async () => {
  const dir = scratch();
  const { prometheus } = services();
  if (!prometheus) throw new Error('docker-compose.yml has no Prometheus');
  // What the container does before it starts the server, with its paths replaced by those here.
  const [line = ''] = prometheus.command?.[0]?.split('&&') ?? [];
  const rules = join(dir, 'rules.yaml');
  const script = line
    .replace('/etc/prometheus/alerts.yaml', mounted(prometheus, '/etc/prometheus/alerts.yaml'))
    .replace('/tmp/rules.yaml', rules);
  expect((await runCommand('sh', ['-c', script], { timeoutMs: 10_000 })).code).toBe(0);
  expect(parse(readFileSync(rules, 'utf8'))).toEqual(ruleFile());
  const config = readFileSync(mounted(prometheus, '/etc/prometheus/prometheus.yml'), 'utf8');
  writeFileSync(join(dir, 'prometheus.yml'), config.replace('/tmp/rules.yaml', rules));
  const result = await runCommand(promtool, ['check', 'config', 'prometheus.yml'], {
    timeoutMs: 60_000,
    cwd: dir,
  });
  expect(result.stdout + result.stderr).toMatch(/1 rule files? found/);
  expect(result.code).toBe(0);
});

describe('runbooks', () => {
  const dir = join(deployDir, 'runbooks');

  it('are there for each alert, and for nothing else', () => {
    expect(readdirSync(dir).sort()).toEqual(names.map((name) => `${name}.md`).sort());
  });

  it.each(alerts)(
    '$alert names its page, says how bad it is and what is the matter',
    ({ alert, labels, annotations }) => {
      expect(annotations?.runbook).toBe(`deploy/runbooks/${alert}.md`);
      expect(labels?.severity).toMatch(/^(critical|warning)$/);
      expect(annotations?.summary).toBeTruthy();
      expect(annotations?.description).toBeTruthy();
    },
  );

  it.each(names)('%s tells what it means, what to look at and what to do', (name) => {
    const page = readFileSync(join(dir, `${name}.md`), 'utf8');
    expect(page).toMatch(new RegExp(`^# ${name}\n`));
    for (const heading of ['## Meaning', '## Look', '## Do']) expect(page).toContain(`\n${heading}\n`);
  });
});
