import { type Manifest, nameOf } from './kustomize.ts';
import { type Container, selects, type Workload, workloads } from './pods.ts';

/** Secrets that operators make, with the keys that are read; README.md tells of each. */
export const SECRETS: Record<string, string[]> = {
  'millrace-redis': ['REDIS_PASSWORD', 'REDIS_URL', 'REDIS_SENTINEL_PASSWORD'],
  'millrace-api-keys': ['API_KEYS'],
  'millrace-model': ['OPENAI_API_KEY'],
  'millrace-tracing': [
    'OTEL_EXPORTER_OTLP_HEADERS',
    'LANGFUSE_PUBLIC_KEY',
    'LANGFUSE_SECRET_KEY',
    'LANGSMITH_API_KEY',
  ],
  'millrace-tls': ['tls.crt', 'tls.key'],
};

/** What a policy may select that is not among the objects: Pods of callers. */
const CALLER = 'millrace/client';

/** Names in one object that lead to nothing in the others. */
export function danglingReferences(objects: Manifest[]): string[] {
  const problems: string[] = [];
  const pods = workloads(objects);
  const has = (kind: string, name: string) =>
    objects.some((object) => object.kind === kind && object.metadata.name === name);
  const wants = (from: Manifest, kind: string, name: string) => {
    if (!has(kind, name)) problems.push(`${nameOf(from)} names ${kind} ${name}, which is not there`);
  };
  for (const pod of pods) podReferences(pod, problems, wants);
  for (const object of objects) {
    const told = (text: string) => problems.push(`${nameOf(object)} ${text}`);
    const selected = (selector: object) => pods.filter((pod) => selects(selector, pod.labels));
    const { spec } = object;
    switch (object.kind) {
      case 'Deployment':
      case 'StatefulSet': {
        if (selected(spec.selector).length !== 1) told('does not select its own Pods alone');
        for (const spread of spec.template.spec.topologySpreadConstraints ?? []) {
          if (!selects(spread.labelSelector, spec.template.metadata.labels))
            told('spreads other Pods than its own');
        }
        break;
      }
      case 'Service': {
        const found = selected({ matchLabels: spec.selector });
        if (found.length === 0) told('selects no Pod');
        for (const port of spec.ports) {
          if (!found.every((pod) => ports(pod).includes(port.targetPort)))
            told(`has no port ${port.targetPort} to go to`);
        }
        break;
      }
      case 'Ingress':
        for (const rule of spec.rules) {
          for (const { backend } of rule.http.paths) {
            const service = objects.find(
              (one) => one.kind === 'Service' && one.metadata.name === backend.service.name,
            );
            const names = service?.spec.ports.map((port: { name: string }) => port.name) ?? [];
            if (!names.includes(backend.service.port.name))
              told(`leads to ${backend.service.name}, which has no such port`);
          }
        }
        for (const { secretName } of spec.tls)
          if (!(secretName in SECRETS)) told(`names Secret ${secretName}`);
        break;
      case 'PodDisruptionBudget':
        if (selected(spec.selector).length === 0) told('selects no Pod');
        break;
      case 'NetworkPolicy':
        policyReferences(object, selected, told);
        break;
      case 'ServiceMonitor': {
        const services = objects.filter(
          (one) => one.kind === 'Service' && selects(spec.selector, one.metadata.labels ?? {}),
        );
        if (services.length !== 1) told(`selects ${services.length} Services`);
        for (const { port } of spec.endpoints) {
          if (!services[0]?.spec.ports.some((one: { name: string }) => one.name === port))
            told(`has no port ${port}`);
        }
        break;
      }
      case 'PodMonitor': {
        const found = selected(spec.selector);
        if (found.length === 0) told('selects no Pod');
        for (const { port } of spec.podMetricsEndpoints) {
          if (!found.every((pod) => ports(pod).includes(port))) told(`has no port ${port}`);
        }
        break;
      }
      case 'ScaledObject':
        for (const { authenticationRef } of spec.triggers) {
          if (authenticationRef) wants(object, 'TriggerAuthentication', authenticationRef.name);
        }
        break;
      case 'TriggerAuthentication':
        for (const { name, key } of spec.secretTargetRef) {
          if (!SECRETS[name]?.includes(key)) told(`reads ${key} of Secret ${name}`);
        }
        break;
      case 'ExternalSecret': {
        const keys = [
          ...Object.keys(spec.target?.template?.data ?? {}),
          ...(spec.data ?? []).map((one: { secretKey: string }) => one.secretKey),
        ];
        for (const key of keys)
          if (!SECRETS[object.metadata.name]?.includes(key)) told(`makes ${key}, which nothing reads`);
        break;
      }
      case 'RoleBinding':
      case 'ClusterRoleBinding':
        wants(object, object.roleRef.kind, object.roleRef.name);
        for (const subject of object.subjects) {
          if (subject.namespace === 'millrace') wants(object, subject.kind, subject.name);
        }
        break;
      case 'Role':
        for (const { resources, resourceNames = [] } of object.rules) {
          for (const name of resourceNames) {
            const kind = resources[0].toLowerCase();
            if (!objects.some((one) => `${one.kind.toLowerCase()}s` === kind && one.metadata.name === name)) {
              told(`names ${kind} ${name}`);
            }
          }
        }
        break;
    }
  }
  return problems;
}

function podReferences(
  { object, pod, containers }: Workload,
  problems: string[],
  wants: (from: Manifest, kind: string, name: string) => void,
): void {
  const told = (text: string) => problems.push(`${nameOf(object)} ${text}`);
  if (pod.serviceAccountName) wants(object, 'ServiceAccount', pod.serviceAccountName);
  for (const volume of pod.volumes ?? [])
    if (volume.configMap) wants(object, 'ConfigMap', volume.configMap.name);
  for (const container of containers) {
    for (const { configMapRef, secretRef } of container.envFrom ?? []) {
      if (configMapRef) wants(object, 'ConfigMap', configMapRef.name);
      if (secretRef && !secretOf(secretRef.name)) told(`reads Secret ${secretRef.name}, which nobody makes`);
    }
    for (const { valueFrom } of container.env ?? []) {
      const ref = valueFrom?.secretKeyRef;
      if (ref && !secretOf(ref.name)?.includes(ref.key)) told(`reads ${ref.key} of Secret ${ref.name}`);
    }
    const mounts = (container.volumeMounts ?? []).map((mount: { name: string }) => mount.name);
    const volumes = [...(pod.volumes ?? []), ...(object.spec.volumeClaimTemplates ?? [])].map(
      (volume: { name?: string; metadata?: { name: string } }) => volume.name ?? volume.metadata?.name,
    );
    if ([...mounts].sort().join() !== volumes.sort().join()) told(`mounts ${mounts} of ${volumes}`);
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
      const port = container[probe]?.httpGet?.port;
      if (port !== undefined && !portNames(container).includes(port))
        told(`asks port ${port}, which it has not`);
    }
  }
}

function policyReferences(
  object: Manifest,
  selected: (selector: object) => Workload[],
  told: (text: string) => void,
): void {
  const { podSelector, ingress = [], egress = [] } = object.spec;
  const own = selected(podSelector);
  if (own.length === 0) told('selects no Pod');
  for (const { to, ports: list } of egress) peers(to, list, undefined);
  for (const { from, ports: list } of ingress) peers(from, list, own);

  /** @param open whose ports are named; for egress, the peers' */
  function peers(
    list: { podSelector?: Manifest }[] = [],
    named: { port: string | number }[] = [],
    open?: Workload[],
  ) {
    const found = list.flatMap((peer) => {
      if (!peer.podSelector || CALLER in (peer.podSelector.matchLabels ?? {})) return [];
      const pods = selected(peer.podSelector);
      // Base speaks of a Redis that another component brings.
      const redis = peer.podSelector.matchLabels?.['app.kubernetes.io/name'] === 'redis';
      if (pods.length === 0 && !redis)
        told(`admits Pods that are not there: ${JSON.stringify(peer.podSelector)}`);
      return pods;
    });
    for (const { port } of named) {
      if (typeof port !== 'string') continue;
      if (!(open ?? found).some((pod) => ports(pod).includes(port)))
        told(`names port ${port}, which nobody has`);
    }
  }
}

function secretOf(name: string): string[] | undefined {
  // A generated one has a hash at its end.
  return SECRETS[name] ?? SECRETS[name.replace(/-[a-z0-9]{10}$/, '')];
}

function ports(pod: Workload): string[] {
  return pod.containers.flatMap(portNames);
}

function portNames(container: Container): string[] {
  return (container.ports ?? []).map((port) => port.name);
}
