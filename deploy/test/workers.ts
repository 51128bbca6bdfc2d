import { readFileSync } from 'node:fs';
import { Keys } from '@millrace/shared/keys';
import { partOfQueue } from '@millrace/shared/queue-parts';
import { parse } from 'yaml';
import { readConfig } from '../../apps/gateway/src/config.ts';
import { workerConfig } from '../../apps/worker/src/config.ts';
import { deployDir, type Manifest, nameOf } from './kustomize.ts';
import { environment, type Workload, workloads } from './pods.ts';

/** What both apps may take to close what is left after the drain, as their `main.ts` say. */
export const CLOSING_SECONDS = Math.max(
  ...['gateway', 'worker'].map((app) => {
    const text = readFileSync(`${deployDir}/../apps/${app}/src/main.ts`, 'utf8');
    const found = /const CLOS\w+_MS = ([\d_]+);/.exec(text);
    if (!found) throw new Error(`${app}/src/main.ts does not say how long closing takes`);
    return Number(found[1]?.replaceAll('_', '')) / 1000;
  }),
);

/** What a Pod of the spot pool can count on between its notice and its end. */
const SPOT_SECONDS = 25;

export function appOf({ containers }: Workload): 'gateway' | 'worker' | undefined {
  const main = /^apps\/(gateway|worker)\/src\/main\.ts$/.exec(containers[0]?.command[1] ?? '');
  return main?.[1] as 'gateway' | 'worker' | undefined;
}

/** Settings as the app itself reads them, with Secrets that only an operator has in place. */
export function settingsOf(objects: Manifest[], workload: Workload) {
  const [container] = workload.containers;
  if (!container) throw new Error(`${nameOf(workload.object)} has no container`);
  const set = environment(objects, container);
  const env = { API_KEYS: keysOf(set.TENANT_QUEUES), ...set };
  return appOf(workload) === 'gateway'
    ? { app: 'gateway' as const, env, config: readConfig(env) }
    : { app: 'worker' as const, env, config: workerConfig(env) };
}

/** A key for each tenant that has a part of the queues. */
function keysOf(queues = ''): string {
  const tenants = queues.split(',').map((entry) => entry.replace(/:.*/, ''));
  return ['of-the-operator', ...tenants.filter(Boolean).map((tenant) => `${tenant}:of-${tenant}`)].join();
}

/** Where Pods get less time than their app takes to leave in order. */
export function graceProblems(objects: Manifest[]): string[] {
  return workloads(objects).flatMap((workload) => {
    if (appOf(workload) === undefined) return [];
    const { config } = settingsOf(objects, workload);
    const { pod, containers, labels, object } = workload;
    const sleep = containers[0]?.lifecycle?.preStop?.sleep?.seconds ?? 0;
    const needs = sleep + config.drainMs / 1000 + CLOSING_SECONDS;
    const has = pod.terminationGracePeriodSeconds;
    const problems: string[] = [];
    if (needs >= has) problems.push(`${nameOf(object)} may take ${needs} s to leave and has ${has} s`);
    if (labels['millrace/pool'] === 'spot' && has > SPOT_SECONDS) {
      problems.push(`${nameOf(object)} has ${has} s, and a spot node leaves it ${SPOT_SECONDS}`);
    }
    return problems;
  });
}

const REDIS_METADATA = new Set([
  'address',
  'listName',
  'listLength',
  'activationListLength',
  'databaseIndex',
  'enableTLS',
]);
const FORMULA_WORDS = new Set(['max', 'min']);

/** Where a worker's autoscaler follows something else than the demand the code would count. */
export function demandProblems(objects: Manifest[]): string[] {
  const problems: string[] = [];
  const find = (name: string) => workloads(objects).find((one) => one.object.metadata.name === name);
  for (const object of objects) {
    const told = (text: string) => problems.push(`${nameOf(object)} ${text}`);
    const target = find(object.spec?.scaleTargetRef?.name);
    if (!target || appOf(target) !== 'worker') continue;
    const settings = settingsOf(objects, target);
    if (settings.app !== 'worker') continue;
    const { concurrency, prefix, redis, queues } = settings.config;
    const [queue = 'default', ...more] = queues;
    if (more.length > 0) told(`counts one queue, and its workers serve ${queues}`);
    if (object.kind === 'HorizontalPodAutoscaler') externalProblems(object, objects, concurrency, told);
    if (object.kind !== 'ScaledObject') continue;
    const { triggers, advanced, fallback, minReplicaCount, maxReplicaCount } = object.spec;
    if (fallback && fallback.replicas > maxReplicaCount) told('falls back to more than its maximum');
    if (minReplicaCount > maxReplicaCount) told('has a minimum above its maximum');
    const modifiers = advanced.scalingModifiers;
    if (modifiers) {
      if (modifiers.target !== `${concurrency}`)
        told(`targets ${modifiers.target}, and a worker takes ${concurrency}`);
      const words = modifiers.formula
        .match(/[A-Za-z_]\w*/g)
        .filter((word: string) => !FORMULA_WORDS.has(word));
      const names = triggers.map(({ name }: { name: string }) => name);
      if ([...new Set(words)].sort().join() !== [...names].sort().join())
        told(`has ${names} and counts ${words}`);
      const onDemand = objects.find(
        (one) => one.kind === 'ScaledObject' && one.metadata.name === 'millrace-worker',
      );
      const minus = / - (\d+)/.exec(modifiers.formula)?.[1];
      if (minus !== undefined && Number(minus) !== onDemand?.spec.maxReplicaCount * concurrency) {
        told(
          `leaves ${minus} to on-demand workers that hold ${onDemand?.spec.maxReplicaCount * concurrency}`,
        );
      }
    }
    for (const { type, name, metadata } of triggers) {
      if (type === 'redis') {
        const unknown = Object.keys(metadata).filter((key) => !REDIS_METADATA.has(key));
        if (unknown.length > 0) told(`gives KEDA ${unknown}, which it does not know`);
        // BullMQ's own name for what is in a state.
        const list = `${new Keys(prefix).queuePrefix()}:${queue}:${name}`;
        if (metadata.listName !== list) told(`counts ${metadata.listName} and not ${list}`);
        const { hostname, port } = new URL(redis.url);
        const address = `${hostname}.millrace.svc.cluster.local:${port || 6379}`;
        if (metadata.address !== address) told(`asks ${metadata.address}, and workers use ${address}`);
        if (metadata.listLength !== `${concurrency}`)
          told(`takes ${metadata.listLength} for a worker's share`);
      } else if (type === 'metrics-api') {
        if (metadata.targetValue !== `${concurrency}`)
          told(`takes ${metadata.targetValue} for a worker's share`);
        const { hostname, port, pathname } = new URL(metadata.url);
        if (pathname !== `/scale/${queue}`) told(`asks ${pathname}, and its workers serve ${queue}`);
        const service = objects.find(
          (one) =>
            one.kind === 'Service' &&
            hostname === `${one.metadata.name}.${one.metadata.namespace}.svc.cluster.local`,
        );
        if (!service?.spec.ports.some((one: { port: number }) => one.port === Number(port)))
          told(`asks ${metadata.url}`);
      } else if (type !== 'cron') {
        told(`has a trigger of type ${type}, which nobody has thought of`);
      }
    }
  }
  return problems;
}

/** Parts of queues that gateways send runs to, and no worker takes them from. */
export function unservedQueues(objects: Manifest[]): string[] {
  const settings = workloads(objects)
    .filter((workload) => appOf(workload) !== undefined)
    .map((workload) => settingsOf(objects, workload));
  const served = settings.flatMap((one) => (one.app === 'worker' ? one.config.queues : []));
  const parts = settings.flatMap((one) =>
    one.app === 'gateway' ? [...one.config.tenantQueues.values()] : [],
  );
  return parts
    .map((part) => partOfQueue('default', part))
    .filter((queue) => !served.includes(queue))
    .map((queue) => `no worker serves ${queue}`);
}

function externalProblems(
  object: Manifest,
  objects: Manifest[],
  concurrency: number,
  told: (text: string) => void,
): void {
  const rules = objects.find(
    (one) => one.kind === 'ConfigMap' && one.metadata.name === 'millrace-adapter-rules',
  );
  const config = parse(rules?.data['config.yaml'] ?? '{}') as { externalRules?: { name: { as: string } }[] };
  for (const { external } of object.spec.metrics) {
    if (external.target.averageValue !== `${concurrency}`)
      told(`takes ${external.target.averageValue} for a worker's share`);
    const names = config.externalRules?.map((rule) => rule.name.as) ?? [];
    if (!names.includes(external.metric.name))
      told(`follows ${external.metric.name}, which no rule of the adapter gives`);
  }
}

/** PodDisruptionBudgets that would keep a node from ever being emptied. */
export function budgetProblems(objects: Manifest[]): string[] {
  return objects
    .filter((object) => object.kind === 'PodDisruptionBudget' && object.spec.minAvailable !== undefined)
    .flatMap((budget) => {
      const component = budget.spec.selector.matchLabels['app.kubernetes.io/component'];
      const deployment = objects.find(
        (one) =>
          one.kind === 'Deployment' && one.metadata.labels?.['app.kubernetes.io/component'] === component,
      );
      const scaler = objects.find((one) => one.spec?.scaleTargetRef?.name === deployment?.metadata.name);
      const least =
        scaler?.spec.minReplicas ?? scaler?.spec.minReplicaCount ?? deployment?.spec.replicas ?? 1;
      return least > budget.spec.minAvailable
        ? []
        : [`${nameOf(budget)} wants ${budget.spec.minAvailable} of ${least}`];
    });
}
