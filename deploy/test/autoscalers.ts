import { type Manifest, nameOf } from './kustomize.ts';

interface Scaler {
  name: string;
  target: string;
  /** `cpu`, `memory`, or `other` for what is measured elsewhere. */
  metrics: string[];
}

/** What scales Deployments by number: HPAs, and ScaledObjects, of which KEDA makes HPAs. */
function horizontal(objects: Manifest[]): Scaler[] {
  return objects.flatMap((object) => {
    if (object.kind === 'HorizontalPodAutoscaler') {
      const metrics = object.spec.metrics.map(
        (metric: { resource?: { name: string }; containerResource?: { name: string } }) =>
          metric.resource?.name ?? metric.containerResource?.name ?? 'other',
      );
      return [{ name: nameOf(object), target: targetOf(object, object.spec.scaleTargetRef), metrics }];
    }
    if (object.kind === 'ScaledObject') {
      const metrics = object.spec.triggers.map(({ type }: { type: string }) =>
        type === 'cpu' || type === 'memory' ? type : 'other',
      );
      return [{ name: nameOf(object), target: targetOf(object, object.spec.scaleTargetRef), metrics }];
    }
    return [];
  });
}

/** VPAs that change Pods, with the resources they change. */
function vertical(objects: Manifest[]): Scaler[] {
  return objects
    .filter(({ kind, spec }) => kind === 'VerticalPodAutoscaler' && spec.updatePolicy?.updateMode !== 'Off')
    .map((object) => ({
      name: nameOf(object),
      target: targetOf(object, object.spec.targetRef),
      metrics: [
        ...new Set<string>(
          (object.spec.resourcePolicy?.containerPolicies ?? [{}]).flatMap(
            (policy: { controlledResources?: string[] }) => policy.controlledResources ?? ['cpu', 'memory'],
          ),
        ),
      ],
    }));
}

/** Autoscalers that would work against each other, and those that scale nothing or what has a fixed size. */
export function scalingConflicts(objects: Manifest[]): string[] {
  const problems: string[] = [];
  const byNumber = horizontal(objects);
  const deployments = new Map(
    objects
      .filter(({ kind }) => kind === 'Deployment')
      .map((one) => [`Deployment ${one.metadata.namespace}/${one.metadata.name}`, one]),
  );
  for (const scaler of [...byNumber, ...vertical(objects)]) {
    if (!deployments.has(scaler.target))
      problems.push(`${scaler.name} scales ${scaler.target}, which is not there`);
  }
  for (const [target, deployment] of deployments) {
    const here = byNumber.filter((scaler) => scaler.target === target);
    if (here.length > 1) problems.push(`${target} has ${here.map(({ name }) => name).join(' and ')}`);
    if (here.length > 0 && deployment.spec.replicas !== undefined) {
      problems.push(`${target} has ${here[0]?.name} and replicas of its own`);
    }
    const upright = vertical(objects).filter((scaler) => scaler.target === target);
    if (upright.length > 1) problems.push(`${target} has ${upright.map(({ name }) => name).join(' and ')}`);
    for (const vpa of upright) {
      for (const hpa of here) {
        const shared = vpa.metrics.filter((metric) => hpa.metrics.includes(metric));
        if (shared.length > 0)
          problems.push(`${target}: ${vpa.name} and ${hpa.name} both follow ${shared.join(', ')}`);
      }
    }
  }
  return problems;
}

function targetOf(object: Manifest, ref: { kind?: string; name: string }): string {
  return `${ref.kind ?? 'Deployment'} ${object.metadata.namespace}/${ref.name}`;
}
