import { beforeAll, describe, expect, it } from 'vitest';
import { scalingConflicts } from './autoscalers.ts';
import { compose, type Manifest } from './kustomize.ts';
import { securityProblems } from './pod-security.ts';
import { danglingReferences } from './references.ts';
import { COMPOSITIONS } from './sets.ts';
import { budgetProblems, demandProblems, graceProblems, unservedQueues } from './workers.ts';

// What is wrong must be found, or the other tests would be of no use.

const checks = {
  references: danglingReferences,
  scaling: scalingConflicts,
  demand: demandProblems,
  grace: graceProblems,
  security: securityProblems,
  budgets: budgetProblems,
  queues: unservedQueues,
};

let good: Manifest[];

beforeAll(async () => {
  good = await compose(COMPOSITIONS[0] ?? []);
});

/** Of a Deployment, by the end of its name. */
const containerOf = (object: Manifest) => object.spec.template.spec.containers[0];

const faults: [string, keyof typeof checks, string, (object: Manifest) => void, string][] = [
  [
    'a Service that selects nobody',
    'references',
    'Service millrace-gateway',
    (o) => {
      o.spec.selector = { a: 'b' };
    },
    'selects no Pod',
  ],
  [
    'a Service with a port that leads nowhere',
    'references',
    'Service millrace-gateway',
    (o) => {
      o.spec.ports[0].targetPort = 'web';
    },
    'no port web',
  ],
  [
    'an Ingress to a port that is not there',
    'references',
    'Ingress millrace',
    (o) => {
      o.spec.rules[0].http.paths[0].backend.service.port.name = 'ops';
    },
    'no such port',
  ],
  [
    'a Deployment that selects others as well',
    'references',
    'Deployment millrace-worker',
    (o) => {
      o.spec.selector.matchLabels = { 'app.kubernetes.io/name': 'millrace' };
    },
    'does not select its own Pods alone',
  ],
  [
    'a ConfigMap that nobody makes',
    'references',
    'Deployment millrace-worker',
    (o) => {
      containerOf(o).envFrom[0].configMapRef.name = 'x';
    },
    'names ConfigMap x',
  ],
  [
    'a Secret that operators know nothing of',
    'references',
    'Deployment millrace-worker',
    (o) => {
      containerOf(o).envFrom[2].secretRef.name = 'x';
    },
    'Secret x',
  ],
  [
    'a key that the Secret does not have',
    'references',
    'TriggerAuthentication millrace-redis',
    (o) => {
      o.spec.secretTargetRef[0].key = 'password';
    },
    'reads password',
  ],
  [
    'a probe of a port that is not open',
    'references',
    'Deployment millrace-gateway',
    (o) => {
      containerOf(o).readinessProbe.httpGet.port = 'health';
    },
    'asks port health',
  ],
  [
    'a policy for Pods that are not there',
    'references',
    'NetworkPolicy to-models',
    (o) => {
      o.spec.podSelector.matchLabels = { app: 'x' };
    },
    'selects no Pod',
  ],
  [
    'a policy that opens a port nobody has',
    'references',
    'NetworkPolicy operators',
    (o) => {
      o.spec.ingress[0].ports[0].port = 'metrics';
    },
    'names port metrics',
  ],
  [
    'a monitor of a port that is not there',
    'references',
    'PodMonitor millrace-worker',
    (o) => {
      o.spec.podMetricsEndpoints[0].port = 'metrics';
    },
    'no port metrics',
  ],
  [
    'a Role for nobody',
    'references',
    'RoleBinding millrace-pod-deletion-cost',
    (o) => {
      o.subjects[0].name = 'x';
    },
    'names ServiceAccount x',
  ],
  [
    'a volume that is not mounted',
    'references',
    'Deployment millrace-worker',
    (o) => {
      containerOf(o).volumeMounts = [];
    },
    'mounts',
  ],
  [
    'an autoscaler of nothing',
    'scaling',
    'ScaledObject millrace-worker',
    (o) => {
      o.spec.scaleTargetRef.name = 'x';
    },
    'is not there',
  ],
  [
    'replicas beside an autoscaler',
    'scaling',
    'Deployment millrace-worker',
    (o) => {
      o.spec.replicas = 3;
    },
    'replicas of its own',
  ],
  [
    'another list than BullMQ has',
    'demand',
    'ScaledObject millrace-worker',
    (o) => {
      o.spec.triggers[0].metadata.listName = 'bull:default:wait';
    },
    'counts bull:default:wait',
  ],
  [
    'a list of another queue than the workers serve',
    'demand',
    'ScaledObject millrace-worker-gold',
    (o) => {
      o.spec.triggers[0].metadata.listName = '{millrace}:default:wait';
    },
    'not {millrace}:default.gold:wait',
  ],
  [
    'a part of a queue that no worker serves',
    'queues',
    'Deployment millrace-worker-gold',
    (o) => {
      containerOf(o).env[0].value = 'default.silver';
    },
    'no worker serves default.gold',
  ],
  [
    'another Redis than the workers use',
    'demand',
    'ScaledObject millrace-worker',
    (o) => {
      o.spec.triggers[1].metadata.address = 'redis:6379';
    },
    'asks redis:6379',
  ],
  [
    'a trigger that the formula forgets',
    'demand',
    'ScaledObject millrace-worker',
    (o) => {
      o.spec.advanced.scalingModifiers.formula = 'wait + active';
    },
    'counts wait,active',
  ],
  [
    'a target beside the concurrency',
    'demand',
    'ScaledObject millrace-worker',
    (o) => {
      o.spec.advanced.scalingModifiers.target = '5';
    },
    'targets 5',
  ],
  [
    'metadata that KEDA does not know',
    'demand',
    'ScaledObject millrace-worker',
    (o) => {
      o.spec.triggers[2].metadata.list = 'x';
    },
    'does not know',
  ],
  [
    'less grace than the drain takes',
    'grace',
    'Deployment millrace-worker',
    (o) => {
      o.spec.template.spec.terminationGracePeriodSeconds = 125;
    },
    'may take 125 s',
  ],
  [
    'a longer sleep than the grace has room for',
    'grace',
    'Deployment millrace-gateway',
    (o) => {
      containerOf(o).lifecycle.preStop.sleep.seconds = 15;
    },
    'may take 45 s',
  ],
  [
    'root',
    'security',
    'StatefulSet millrace-redis',
    (o) => {
      o.spec.template.spec.securityContext.runAsNonRoot = false;
    },
    'run as root',
  ],
  [
    'a container without a limit',
    'security',
    'Deployment millrace-worker',
    (o) => {
      containerOf(o).resources.limits = {};
    },
    'no memory in limits',
  ],
  [
    'an image without a tag',
    'security',
    'Job millrace-publish-catalog',
    (o) => {
      containerOf(o).image = 'registry:5000/millrace';
    },
    'without a tag',
  ],
  [
    'a budget that holds every gateway',
    'budgets',
    'PodDisruptionBudget millrace-gateway',
    (o) => {
      o.spec.minAvailable = 3;
    },
    'wants 3 of 3',
  ],
];

describe('a fault is found:', () => {
  it.each(faults)('%s', (_, check, name, spoil, complaint) => {
    expect(checks[check](good)).toEqual([]);
    const bad = structuredClone(good);
    const object = bad.find((one) => `${one.kind} ${one.metadata.name}` === name);
    if (!object) throw new Error(`there is no ${name}`);
    spoil(object);
    expect(checks[check](bad).join('\n')).toContain(complaint);
  });
});
