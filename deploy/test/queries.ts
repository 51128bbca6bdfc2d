import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { deployDir } from './kustomize.ts';

export interface Rule {
  alert?: string;
  record?: string;
  expr: string;
  for?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}

/** A query that we ship, and where it stands. */
export interface Query {
  where: string;
  expr: string;
}

interface Panel {
  title: string;
  targets?: { expr: string }[];
}

export interface Dashboard {
  uid: string;
  title: string;
  panels: Panel[];
}

const monitoring = join(deployDir, 'components/monitoring');

/** The rules as Prometheus itself reads them. */
export function ruleFile(): { groups: { name: string; rules: Rule[] }[] } {
  return parse(readFileSync(join(monitoring, 'alerts.yaml'), 'utf8')).spec;
}

export function rules(): Rule[] {
  return ruleFile().groups.flatMap((group) => group.rules);
}

export function dashboards(): Dashboard[] {
  const dir = join(monitoring, 'dashboards');
  return readdirSync(dir).map((file) => JSON.parse(readFileSync(join(dir, file), 'utf8')) as Dashboard);
}

/** Every query of rules, dashboards and the adapter, with Grafana's and the adapter's variables filled in. */
export function queries(): Query[] {
  const fromRules = rules().map(({ alert, record, expr }) => ({ where: `rule ${alert ?? record}`, expr }));
  const fromDashboards = dashboards().flatMap(({ title, panels }) =>
    panels.flatMap((panel) =>
      (panel.targets ?? []).map(({ expr }) => ({ where: `${title}: ${panel.title}`, expr: grafana(expr) })),
    ),
  );
  const adapter = parse(
    readFileSync(join(deployDir, 'components/prometheus-adapter/rules.yaml'), 'utf8'),
  ) as Record<'rules' | 'externalRules', { seriesQuery: string; metricsQuery: string }[]>;
  const fromAdapter = [...adapter.rules, ...adapter.externalRules].flatMap(
    ({ seriesQuery, metricsQuery }) => [
      { where: 'adapter', expr: seriesQuery },
      { where: 'adapter', expr: filled(metricsQuery, seriesQuery) },
    ],
  );
  return [...fromRules, ...fromDashboards, ...fromAdapter];
}

function grafana(expr: string): string {
  return expr.replaceAll('$__rate_interval', '1m').replaceAll('$queue', 'default');
}

function filled(query: string, seriesQuery: string): string {
  return query
    .replaceAll('<<.Series>>', seriesQuery.replace(/\{.*$/, ''))
    .replaceAll('<<.LabelMatchers>>', 'namespace="millrace"')
    .replaceAll('<<.GroupBy>>', 'pod');
}
