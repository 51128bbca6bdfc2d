import type { Manifest } from './kustomize.ts';

export interface Container {
  name: string;
  image: string;
  command: string[];
  env?: { name: string; value?: string; valueFrom?: { secretKeyRef?: KeyRef; configMapKeyRef?: KeyRef } }[];
  envFrom?: { configMapRef?: Ref; secretRef?: Ref }[];
  ports?: { name: string; containerPort: number }[];
  resources: { requests: Record<string, string>; limits: Record<string, string> };
  lifecycle?: { preStop?: { sleep?: { seconds: number } } };
  // biome-ignore lint/suspicious/noExplicitAny: what else is in it is not looked at here, and the schemas check it
  [field: string]: any;
}

interface Ref {
  name: string;
  optional?: boolean;
}

interface KeyRef extends Ref {
  key: string;
}

export interface Workload {
  object: Manifest;
  labels: Record<string, string>;
  // biome-ignore lint/suspicious/noExplicitAny: what else is in it is not looked at here, and the schemas check it
  pod: any;
  containers: Container[];
}

/** Everything that makes Pods. */
export function workloads(objects: Manifest[]): Workload[] {
  return objects.flatMap((object) => {
    const template =
      object.kind === 'CronJob' ? object.spec.jobTemplate.spec.template : object.spec?.template;
    if (!['Deployment', 'StatefulSet', 'Job', 'CronJob'].includes(object.kind)) return [];
    return [
      { object, labels: template.metadata.labels, pod: template.spec, containers: template.spec.containers },
    ];
  });
}

/** What a container finds in its environment; Secrets that are not among the objects give nothing. */
export function environment(objects: Manifest[], container: Container): Record<string, string> {
  const find = (kind: string, name: string | undefined) =>
    objects.find((object) => object.kind === kind && object.metadata.name === name);
  const fromMaps = (container.envFrom ?? []).map(({ configMapRef, secretRef }) => {
    if (configMapRef) return (find('ConfigMap', configMapRef.name)?.data ?? {}) as Record<string, string>;
    const data = (find('Secret', secretRef?.name)?.data ?? {}) as Record<string, string>;
    return Object.fromEntries(
      Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
    );
  });
  const own = (container.env ?? []).filter((one) => one.value !== undefined);
  return Object.assign({}, ...fromMaps, Object.fromEntries(own.map(({ name, value }) => [name, value])));
}

/** Whether a label selector (`matchLabels` and `matchExpressions` with In) takes these labels. */
export function selects(
  selector: {
    matchLabels?: Record<string, string>;
    matchExpressions?: { key: string; operator: string; values: string[] }[];
  },
  labels: Record<string, string>,
): boolean {
  const plain = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
  return (
    plain &&
    (selector.matchExpressions ?? []).every(({ key, operator, values }) => {
      if (operator !== 'In') throw new Error(`selector operator ${operator} is not known here`);
      return values.includes(labels[key] ?? '');
    })
  );
}
