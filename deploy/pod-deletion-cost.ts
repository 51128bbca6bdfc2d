// Tells Kubernetes which workers cost the least to take away: those with the fewest attempts at work. One round; the
// CronJob in components/pod-deletion-cost runs it once a minute.
import { readFileSync } from 'node:fs';

const ANNOTATION = 'controller.kubernetes.io/pod-deletion-cost';
const METRIC = /^millrace_worker_attempts(?:\{[^}]*\})? (\d+)/m;
const SELECTOR = 'app.kubernetes.io/name=millrace,app.kubernetes.io/component=worker';
/** Changes in one round; the Kubernetes API is not a place for what changes all the time. */
const MOST_CHANGES = 50;
const TIMEOUT_MS = 5_000;

interface Pod {
  metadata: { name: string; annotations?: Record<string, string>; deletionTimestamp?: string };
  status: { phase?: string; podIP?: string };
}

const {
  KUBERNETES_SERVICE_HOST: host = 'kubernetes.default.svc',
  KUBERNETES_SERVICE_PORT: port = '443',
  // Another address of the API, as `kubectl proxy` gives it.
  KUBERNETES_API: api = `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
  POD_NAMESPACE: namespace = 'millrace',
  TOKEN_FILE: tokenFile = '/var/run/secrets/kubernetes.io/serviceaccount/token',
  WORKER_PORT: workerPort = '9464',
} = process.env;
const pods = `${api}/api/v1/namespaces/${namespace}/pods`;

async function ask(url: string, init: RequestInit = {}): Promise<unknown> {
  const token = readFileSync(tokenFile, 'utf8').trim();
  const headers = { ...init.headers, Authorization: `Bearer ${token}` };
  const answer = await fetch(url, { ...init, headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!answer.ok) throw new Error(`${init.method ?? 'GET'} ${url}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** The attempts at work in a worker; undefined when it does not say. */
async function attemptsOf(pod: Pod): Promise<number | undefined> {
  const ip = pod.status.podIP ?? '';
  const at = ip.includes(':') ? `[${ip}]` : ip;
  try {
    const answer = await fetch(`http://${at}:${workerPort}/metrics`, {
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const found = METRIC.exec(await answer.text());
    return found ? Number(found[1]) : undefined;
  } catch {
    return undefined;
  }
}

const { items } = (await ask(`${pods}?labelSelector=${encodeURIComponent(SELECTOR)}`)) as { items: Pod[] };
const workers = items.filter(
  ({ metadata, status }) =>
    status.phase === 'Running' && status.podIP && metadata.deletionTimestamp === undefined,
);
const costs = await Promise.all(workers.map(async (pod) => ({ pod, cost: await attemptsOf(pod) })));
const changes = costs.filter(
  ({ pod, cost }) => cost !== undefined && (pod.metadata.annotations?.[ANNOTATION] ?? '0') !== `${cost}`,
);
for (const { pod, cost } of changes.slice(0, MOST_CHANGES)) {
  await ask(`${pods}/${pod.metadata.name}`, {
    method: 'PATCH',
    headers: { 'Content-Type': 'application/merge-patch+json' },
    body: JSON.stringify({ metadata: { annotations: { [ANNOTATION]: `${cost}` } } }),
  });
}
process.stdout.write(`${workers.length} workers, ${Math.min(changes.length, MOST_CHANGES)} changed\n`);
