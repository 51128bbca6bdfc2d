/** At most this much, or this share, in a period. */
export interface ScalingPolicy {
  type: 'Pods' | 'Percent';
  value: number;
  periodSeconds: number;
}

/** One direction of an HPA's `behavior`; what is absent is as Kubernetes has it. */
export interface ScalingRules {
  stabilizationWindowSeconds?: number;
  selectPolicy?: 'Max' | 'Min' | 'Disabled';
  policies?: ScalingPolicy[];
}

/** What of a HorizontalPodAutoscaler says how it moves, by the names it has there. */
export interface HpaSpec {
  minReplicas: number;
  maxReplicas: number;
  behavior?: { scaleUp?: ScalingRules; scaleDown?: ScalingRules };
}

/** How often the controller looks, unless told (`--horizontal-pod-autoscaler-sync-period`). */
export const SYNC_SECONDS = 15;

/** Differences up to this share of the target are left alone (`--horizontal-pod-autoscaler-tolerance`). */
const TOLERANCE = 0.1;

const DEFAULT_UP: Required<ScalingRules> = {
  stabilizationWindowSeconds: 0,
  selectPolicy: 'Max',
  policies: [
    { type: 'Percent', value: 100, periodSeconds: 15 },
    { type: 'Pods', value: 4, periodSeconds: 15 },
  ],
};

const DEFAULT_DOWN: Required<ScalingRules> = {
  stabilizationWindowSeconds: 300,
  selectPolicy: 'Max',
  policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }],
};

const isNear = (ratio: number) => ratio >= 1 - TOLERANCE && ratio <= 1 + TOLERANCE;

/** Replicas for a metric that each of them has a `value` of, on average, and should have a `target` of. */
export function replicasForValue(current: number, value: number, target: number): number {
  const ratio = value / target;
  return isNear(ratio) ? current : Math.ceil(current * ratio);
}

/** Replicas for an external metric whose `total` they share, each a `target` of it (`AverageValue`). */
export function replicasForAverage(current: number, total: number, target: number): number {
  return isNear(total / (target * current)) ? current : Math.ceil(total / target);
}

/**
 * What a HorizontalPodAutoscaler does with the proposals of its metrics: stabilization windows first, then the policies,
 * as the controller of Kubernetes 1.27 and later has it. Times are seconds of any clock that only goes on.
 */
export class Hpa {
  readonly #spec: HpaSpec;
  readonly #up: Required<ScalingRules>;
  readonly #down: Required<ScalingRules>;
  #proposals: { at: number; replicas: number }[] = [];
  #changes: { at: number; by: number }[] = [];

  constructor(spec: HpaSpec) {
    this.#spec = spec;
    this.#up = { ...DEFAULT_UP, ...spec.behavior?.scaleUp };
    this.#down = { ...DEFAULT_DOWN, ...spec.behavior?.scaleDown };
  }

  /**
   * One round of the controller.
   *
   * @param current the replicas that are asked for now; with none the HPA is switched off
   * @param proposed what the metric asks for; undefined when it could not be read, which changes nothing
   * @returns the replicas to ask for
   */
  sync(now: number, current: number, proposed: number | undefined): number {
    if (this.#proposals.length === 0) this.#proposals.push({ at: now, replicas: current });
    const next = this.#next(now, current, proposed);
    if (next !== current) this.#changes.push({ at: now, by: next - current });
    return next;
  }

  #next(now: number, current: number, proposed: number | undefined): number {
    const { minReplicas, maxReplicas } = this.#spec;
    if (current === 0) return 0;
    if (current > maxReplicas) return maxReplicas;
    if (current < minReplicas) return minReplicas;
    if (proposed === undefined) return current;
    const stable = this.#stabilize(now, current, proposed);
    if (stable > current) {
      const limit = Math.max(current, this.#upperLimit(now, current));
      return Math.min(stable, limit, maxReplicas);
    }
    if (stable < current) {
      const limit = Math.min(current, this.#lowerLimit(now, current));
      return Math.max(stable, limit, minReplicas);
    }
    return current;
  }

  /** Up only to the lowest proposal of its window, down only to the highest of its own. */
  #stabilize(now: number, current: number, proposed: number): number {
    const within = (rules: Required<ScalingRules>) =>
      this.#proposals
        .filter(({ at }) => at > now - rules.stabilizationWindowSeconds)
        .map(({ replicas }) => replicas);
    const lowest = Math.min(proposed, ...within(this.#up));
    const highest = Math.max(proposed, ...within(this.#down));
    const window = Math.max(this.#up.stabilizationWindowSeconds, this.#down.stabilizationWindowSeconds);
    this.#proposals = this.#proposals.filter(({ at }) => at > now - window);
    this.#proposals.push({ at: now, replicas: proposed });
    return Math.min(Math.max(current, lowest), highest);
  }

  #upperLimit(now: number, current: number): number {
    const { selectPolicy, policies } = this.#up;
    if (selectPolicy === 'Disabled') return current;
    const limits = policies.map(({ type, value, periodSeconds }) => {
      const before = this.#replicasBefore(now, current, periodSeconds);
      return type === 'Pods' ? before + value : Math.ceil(before * (1 + value / 100));
    });
    return selectPolicy === 'Min' ? Math.min(...limits) : Math.max(...limits);
  }

  #lowerLimit(now: number, current: number): number {
    const { selectPolicy, policies } = this.#down;
    if (selectPolicy === 'Disabled') return current;
    const limits = policies.map(({ type, value, periodSeconds }) => {
      const before = this.#replicasBefore(now, current, periodSeconds);
      return type === 'Pods' ? before - value : Math.trunc(before * (1 - value / 100));
    });
    // The smallest change is what leaves most.
    return selectPolicy === 'Min' ? Math.max(...limits) : Math.min(...limits);
  }

  /** What there was at the start of the period that ends now. */
  #replicasBefore(now: number, current: number, periodSeconds: number): number {
    const recent = this.#changes.filter(({ at }) => at > now - periodSeconds);
    return current - recent.reduce((sum, { by }) => sum + by, 0);
  }
}
