import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { compose, type Manifest } from '../test/kustomize.ts';
import { environment, workloads } from '../test/pods.ts';
import {
  type Asked,
  type ReadDemand,
  readExternal,
  readFormula,
  readTrigger,
  type Trigger,
} from './demand.ts';
import { Hpa, replicasForAverage, SYNC_SECONDS } from './hpa.ts';
import { Keda, type ScaledObjectSpec } from './keda.ts';

/** Something that looks at the demand again and again, and says how many replicas there are to be. */
export interface Loop {
  everySeconds: number;
  read: ReadDemand;
  /** @param value the demand; undefined when it could not be read */
  decide: (now: number, current: number, value: number | undefined) => number;
}

/** One way to scale the workers, as its files say. */
export interface Way {
  name: string;
  /** Replicas without demand. */
  least: number;
  most: number;
  /** What the kubelet leaves a worker between SIGTERM and SIGKILL. */
  graceSeconds: number;
  /** The settings of the worker's Pods. */
  env: Record<string, string>;
  loops: (asked: Asked) => Loop[];
}

/** The components of each way that an operator can choose; each stands on `components/redis`. */
const COMPONENTS: Record<string, string[]> = {
  'keda-redis': ['keda-redis', 'scale-to-zero'],
  'keda-metrics-api': ['keda-metrics-api', 'scale-to-zero'],
  'hpa-external': ['prometheus-adapter', 'hpa-external'],
};

/** What most public examples for BullMQ have; see the file. */
const WAIT_ONLY = 'wait-only';

export const wayNames = [...Object.keys(COMPONENTS), WAIT_ONLY];

/** Reads a way from what kustomize makes of its components. */
export async function readWay(name: string): Promise<Way> {
  const parts = COMPONENTS[name];
  const objects = await compose(['redis', ...(parts ?? [])].map((part) => `components/${part}`));
  if (!parts) return waitOnly(name, objects);
  const [worker] = workersOf(objects);
  const scaler = objects.find(
    (one) =>
      (one.kind === 'ScaledObject' || one.kind === 'HorizontalPodAutoscaler') &&
      one.spec.scaleTargetRef.name === worker?.object.metadata.name,
  );
  if (!worker || !scaler) throw new Error(`${name}: nothing scales workers there`);
  return {
    name,
    ...boundsOf(scaler),
    graceSeconds: worker.pod.terminationGracePeriodSeconds,
    env: worker.env,
    loops: (asked) => loopsOf(scaler, objects, asked),
  };
}

/** The defaults of Kubernetes and of the worker, but for what the file says. */
function waitOnly(name: string, objects: Manifest[]): Way {
  const scaler = parse(readFileSync(new URL('wait-only.yaml', import.meta.url), 'utf8')) as Manifest;
  const [worker] = workersOf(objects);
  const { DRAIN_SECONDS: _, ...env } = worker?.env ?? {};
  return {
    name,
    ...boundsOf(scaler),
    graceSeconds: 30,
    env: { ...env, DRAIN_SECONDS: '25' },
    loops: (asked) => loopsOf(scaler, objects, asked),
  };
}

function workersOf(objects: Manifest[]) {
  return workloads(objects).flatMap((workload) => {
    const [container] = workload.containers;
    const isWorker = container?.command[1] === 'apps/worker/src/main.ts';
    return container && isWorker ? [{ ...workload, env: environment(objects, container) }] : [];
  });
}

function boundsOf({ kind, spec }: Manifest): { least: number; most: number } {
  return kind === 'ScaledObject'
    ? { least: spec.minReplicaCount ?? 0, most: spec.maxReplicaCount ?? 100 }
    : { least: spec.minReplicas, most: spec.maxReplicas };
}

function loopsOf(scaler: Manifest, objects: Manifest[], asked: Asked): Loop[] {
  if (scaler.kind === 'ScaledObject') return kedaLoops(scaler.spec, asked);
  const { minReplicas, maxReplicas, behavior, metrics } = scaler.spec;
  const hpa = new Hpa({ minReplicas, maxReplicas, behavior });
  const target = Number(metrics[0].external.target.averageValue);
  return [
    {
      everySeconds: SYNC_SECONDS,
      read: readExternal(scaler, objects, asked),
      decide: (now, current, value) => hpa.sync(now, current, shared(current, value, target)),
    },
  ];
}

/** The operator's own, and that of the HPA it makes. */
function kedaLoops(
  spec: ScaledObjectSpec & {
    triggers: Trigger[];
    advanced?: { scalingModifiers?: { formula: string; target: string; activationTarget?: string } };
  },
  asked: Asked,
): Loop[] {
  const modifiers = spec.advanced?.scalingModifiers;
  const [trigger] = spec.triggers;
  if (!trigger) throw new Error('triggers: there must be one');
  const { listLength, activationListLength, targetValue, activationTargetValue } = trigger.metadata;
  const read = modifiers ? readFormula(modifiers.formula, spec.triggers, asked) : readTrigger(trigger, asked);
  const target = Number(modifiers?.target ?? listLength ?? targetValue);
  const activation = modifiers?.activationTarget ?? activationListLength ?? activationTargetValue;
  const keda = new Keda(spec, target, Number(activation ?? 0));
  return [
    {
      everySeconds: keda.pollingInterval,
      read,
      decide: (now, current, value) => keda.poll(now, current, value),
    },
    {
      everySeconds: SYNC_SECONDS,
      read,
      decide: (now, current, value) => {
        // Without replicas the HPA is switched off, and asks nothing.
        const metric = current === 0 ? undefined : keda.metric(current, value);
        return keda.hpa.sync(now, current, shared(current, metric, target));
      },
    },
  ];
}

function shared(current: number, value: number | undefined, target: number): number | undefined {
  return value === undefined ? undefined : replicasForAverage(current, value, target);
}
