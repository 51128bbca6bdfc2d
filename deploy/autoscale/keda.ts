import { Hpa, type ScalingRules } from './hpa.ts';

/** What of a ScaledObject says how it moves, by the names it has there; KEDA's defaults where it says nothing. */
export interface ScaledObjectSpec {
  pollingInterval?: number;
  cooldownPeriod?: number;
  minReplicaCount?: number;
  maxReplicaCount?: number;
  fallback?: { failureThreshold: number; replicas: number; behavior?: string };
  advanced?: {
    horizontalPodAutoscalerConfig?: { behavior?: { scaleUp?: ScalingRules; scaleDown?: ScalingRules } };
  };
}

/**
 * KEDA's part in scaling: between none and one its operator decides; above that it makes an HPA, whose metric it answers
 * for. Times are seconds.
 */
export class Keda {
  readonly pollingInterval: number;
  readonly hpa: Hpa;
  readonly #least: number;
  readonly #cooldown: number;
  readonly #activation: number;
  readonly #target: number;
  readonly #fallback: ScaledObjectSpec['fallback'];
  #activeAt: number | undefined;
  #failures = 0;

  /**
   * @param target one replica's share of the metric
   * @param activation the metric must be above it for the first replica
   */
  constructor(spec: ScaledObjectSpec, target: number, activation: number) {
    const { minReplicaCount = 0, maxReplicaCount = 100 } = spec;
    this.pollingInterval = spec.pollingInterval ?? 30;
    this.hpa = new Hpa({
      // An HPA cannot go to zero, and need not.
      minReplicas: Math.max(1, minReplicaCount),
      maxReplicas: maxReplicaCount,
      behavior: spec.advanced?.horizontalPodAutoscalerConfig?.behavior ?? {},
    });
    this.#least = minReplicaCount;
    this.#cooldown = spec.cooldownPeriod ?? 300;
    this.#activation = activation;
    this.#target = target;
    this.#fallback = spec.fallback;
  }

  /**
   * One round of the operator.
   *
   * @param value the metric; undefined when it could not be read
   * @returns the replicas to ask for
   */
  poll(now: number, current: number, value: number | undefined): number {
    if (value !== undefined && value > this.#activation) {
      this.#activeAt = now;
      return current === 0 ? Math.max(1, this.#least) : current;
    }
    // Zero would switch the HPA off, and the fallback with it.
    if (value === undefined && this.#fallback?.replicas !== 0) return current;
    if (current > 0 && this.#least === 0) {
      return this.#activeAt === undefined || this.#activeAt + this.#cooldown < now ? 0 : current;
    }
    return Math.max(current, this.#least);
  }

  /**
   * What the HPA hears when it asks for the metric: the fallback's replicas, each with its share, when too many questions
   * in a row could not be answered, and nothing before that.
   */
  metric(current: number, value: number | undefined): number | undefined {
    if (value !== undefined) {
      this.#failures = 0;
      return value;
    }
    this.#failures += 1;
    const fallback = this.#fallback;
    if (!fallback || this.#failures <= fallback.failureThreshold) return undefined;
    return this.#target * fallbackReplicas(fallback, current);
  }
}

function fallbackReplicas(
  { behavior = 'static', replicas }: NonNullable<ScaledObjectSpec['fallback']>,
  current: number,
): number {
  switch (behavior) {
    case 'static':
      return replicas;
    case 'currentReplicas':
      return current;
    case 'currentReplicasIfHigher':
      return Math.max(current, replicas);
    case 'currentReplicasIfLower':
      return Math.min(current, replicas);
    default:
      throw new Error(`fallback.behavior: KEDA knows no "${behavior}"`);
  }
}
