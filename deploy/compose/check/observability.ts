import { setTimeout as sleep } from 'node:timers/promises';
import { dashboards, ruleFile } from '../../test/queries.ts';
import type { Project, Scale } from './project.ts';

const SEEN_MS = 90_000;

/** Asks until the answer is what is wanted. @returns it, or the last other one when time is up */
async function eventually<T>(ask: () => Promise<T>, wanted: (answer: T) => boolean): Promise<T> {
  const enough = Date.now() + SEEN_MS;
  for (;;) {
    const answer = await ask();
    if (wanted(answer) || Date.now() > enough) return answer;
    await sleep(1000);
  }
}

async function json<T>(url: string): Promise<T> {
  const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

/** What is wrong: Prometheus must see each gateway and worker, and have the rules of the cluster without a fault. */
export async function prometheusProblems({ ports }: Project, scale: Scale): Promise<string[]> {
  const api = `http://127.0.0.1:${ports.PROMETHEUS_PORT}/api/v1`;
  interface Target {
    labels: { job: string };
    health: string;
    lastError: string;
  }
  const wanted = Object.entries(scale).flatMap(([app, count]) => Array(count).fill(`millrace-${app} up`));
  const inWords = (targets: Target[]) =>
    targets.map(({ labels, health }) => `${labels.job} ${health}`).sort();
  const targets = await eventually(
    async () => (await json<{ data: { activeTargets: Target[] } }>(`${api}/targets`)).data.activeTargets,
    (found) => inWords(found).join() === wanted.join(),
  );
  const problems: string[] = [];
  if (inWords(targets).join() !== wanted.join()) {
    const errors = targets.map(({ lastError }) => lastError).filter(Boolean);
    problems.push(
      `Prometheus has ${inWords(targets).join(', ')} and not ${wanted.join(', ')}: ${errors.join('; ')}`,
    );
  }
  const names = (groups: { name: string }[]) => groups.map(({ name }) => name).sort();
  const groups = await eventually(
    async () =>
      (
        await json<{ data: { groups: { name: string; rules: { health: string; lastError?: string }[] }[] } }>(
          `${api}/rules`,
        )
      ).data.groups,
    (found) => found.flatMap(({ rules }) => rules).every(({ health }) => health === 'ok'),
  );
  if (names(groups).join() !== names(ruleFile().groups).join())
    problems.push(`Prometheus has rules ${names(groups)}`);
  const sick = groups.flatMap(({ rules }) => rules).filter(({ health }) => health !== 'ok');
  if (sick.length > 0) problems.push(`${sick.length} rules are not well: ${sick[0]?.lastError}`);
  return problems;
}

/** What is wrong: Grafana must have our dashboards, and reach Prometheus. */
export async function grafanaProblems({ ports }: Project): Promise<string[]> {
  const api = `http://127.0.0.1:${ports.GRAFANA_PORT}/api`;
  const wanted = dashboards()
    .map(({ uid }) => uid)
    .sort();
  const found = await eventually(
    async () => (await json<{ uid: string }[]>(`${api}/search?type=dash-db`)).map(({ uid }) => uid).sort(),
    (uids) => uids.join() === wanted.join(),
  );
  const problems: string[] = [];
  if (found.join() !== wanted.join())
    problems.push(`Grafana lists ${found.join(', ')} and not ${wanted.join(', ')}`);
  const query = `${api}/datasources/proxy/uid/prometheus/api/v1/query?query=up`;
  const { data } = await json<{ data: { result: unknown[] } }>(query);
  if (data.result.length === 0) problems.push('Grafana reaches Prometheus, and finds nothing there');
  return problems;
}
