import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestRedis, testRedis } from '@millrace/shared/test-redis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AppProcess, startProcess } from '../../test/processes.ts';
import { compose } from './kustomize.ts';
import { selectorsOf } from './promql.ts';
import { dashboards, queries, rules } from './queries.ts';
import { type Metrics, readMetrics } from './scrape.ts';

/** Metrics of others, by who exports them. */
const FOREIGN: Record<string, string[]> = {
  'kube-state-metrics': [
    'kube_horizontalpodautoscaler_spec_max_replicas',
    'kube_horizontalpodautoscaler_status_desired_replicas',
    'kube_pod_container_resource_limits',
    'kube_pod_container_status_restarts_total',
  ],
  'the kubelet (cAdvisor)': ['container_cpu_usage_seconds_total', 'container_memory_working_set_bytes'],
};

/** Labels that Prometheus gives every series it scrapes in a cluster. */
const OF_THE_TARGET = new Set(['job', 'instance', 'namespace', 'pod', 'container', 'service', 'endpoint']);

const COUNTING = new Set(['rate', 'irate', 'increase']);

let redis: TestRedis;
let gateway: AppProcess;
let worker: AppProcess;
let known: Metrics;
let dir: string;

beforeAll(async () => {
  redis = await testRedis();
  dir = mkdtempSync(join(tmpdir(), 'millrace-prices-'));
  const prices = join(dir, 'prices.json');
  writeFileSync(prices, JSON.stringify({ demo: { input: 1, output: 1 } }));
  // With what shows more metrics.
  const env = {
    ...redis.env,
    MODEL: 'demo',
    METRICS_TENANTS: '1',
    MODEL_PRICES: prices,
  };
  // As in the cluster: probes and metrics on a port of their own would answer the same.
  [gateway, worker] = await Promise.all([startProcess('gateway', env), startProcess('worker', env)]);
  const answer = await fetch(`${gateway.url}/message`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Prefer: 'wait=60' },
    body: JSON.stringify({ query: 'What is 6*7?' }),
  });
  expect(answer.status).toBe(200);
  known = new Map();
  for (const { url } of [gateway, worker]) {
    const page = await fetch(`${url}/metrics`);
    readMetrics(await page.text(), known);
  }
});

afterAll(async () => {
  await Promise.all([gateway?.end('SIGTERM'), worker?.end('SIGTERM')]);
  await redis?.close();
  if (dir) rmSync(dir, { recursive: true });
});

const recorded = rules().flatMap(({ record }) => record ?? []);
const foreign = Object.values(FOREIGN).flat();
/** A histogram's series by the name it is registered under. */
const registered = (metric: string) =>
  known.has(metric) ? metric : metric.replace(/_(bucket|sum|count)$/, '');

describe.each(queries())('$where: $expr', ({ expr }) => {
  it('is PromQL, of metrics, labels and types that there are', () => {
    for (const { metric, labels, functions, grouping } of selectorsOf(expr)) {
      const name = registered(metric);
      if (recorded.includes(metric) || foreign.includes(metric)) continue;
      expect([...known.keys()]).toContain(name);
      const { type = '', labels: seen = new Set<string>() } = known.get(name) ?? {};
      if (functions.some((one) => COUNTING.has(one))) expect(['counter', 'histogram']).toContain(type);
      if (type === 'counter')
        expect(functions.some((one) => COUNTING.has(one)) || expr.startsWith(metric)).toBe(true);
      if (metric !== name) expect(type).toBe('histogram');
      // One without a sample yet shows no labels.
      if (seen.size === 0) continue;
      const used = [...labels, ...grouping].filter((label) => !OF_THE_TARGET.has(label) && label !== 'le');
      expect([...seen]).toEqual(expect.arrayContaining(used));
    }
  });
});

it('shows every metric of the apps somewhere', () => {
  const used = new Set(
    queries().flatMap(({ expr }) => selectorsOf(expr).map(({ metric }) => registered(metric))),
  );
  const own = [...known.keys()].filter((name) => /^(millrace|http)_/.test(name));
  expect(own.length).toBeGreaterThan(10);
  expect(own.filter((name) => !used.has(name))).toEqual([]);
});

it('asks only paths that the gateway serves', async () => {
  const objects = [
    ...(await compose(['components/keda-metrics-api', 'components/redis', 'components/monitoring'])),
  ];
  const paths = objects.flatMap(({ kind, spec }) => {
    if (kind === 'ServiceMonitor') return spec.endpoints.map(({ path }: { path: string }) => path);
    if (kind === 'PodMonitor') return spec.podMetricsEndpoints.map(({ path }: { path: string }) => path);
    if (kind !== 'ScaledObject') return [];
    return spec.triggers.map(({ metadata }: { metadata: { url: string } }) => new URL(metadata.url).pathname);
  });
  expect(paths).toHaveLength(3);
  for (const path of paths as string[]) {
    const { status } = await fetch(`${gateway.url}${path}`);
    expect({ path, status }).toEqual({ path, status: 200 });
  }
});

describe('the dashboards', () => {
  it.each(dashboards())('$title has panels with ids, titles and queries of their own', ({ uid, panels }) => {
    expect(uid).toMatch(/^millrace-/);
    const ids = panels.map((panel) => (panel as unknown as { id: number }).id);
    expect(new Set(ids).size).toBe(ids.length);
    const plots = panels.filter((panel) => (panel as unknown as { type: string }).type !== 'row');
    expect(plots.every((panel) => (panel.targets?.length ?? 0) > 0)).toBe(true);
    expect(new Set(plots.map((panel) => panel.title)).size).toBe(plots.length);
  });
});

describe('the reader of queries', () => {
  it.each(['sum(rate(x[1m]) by', 'sum by (a) rate(x[5m])', 'x{a=b}', '1 + 1'])('refuses %s', (query) => {
    expect(() => selectorsOf(query)).toThrow();
  });
});
