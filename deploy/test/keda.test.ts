import { describe, expect, it } from 'vitest';
import { Keda } from '../autoscale/keda.ts';

const spec = { minReplicaCount: 0, maxReplicaCount: 20, cooldownPeriod: 300 };

describe('between none and one', () => {
  it('brings the first replica when the metric is above the activation', () => {
    const keda = new Keda(spec, 4, 2);
    expect(keda.poll(0, 0, 2)).toBe(0);
    expect(keda.poll(10, 0, 3)).toBe(1);
  });

  it('brings as many as there must be at least', () => {
    expect(new Keda({ ...spec, minReplicaCount: 3 }, 4, 0).poll(0, 0, 1)).toBe(3);
    expect(new Keda({ ...spec, minReplicaCount: 3 }, 4, 0).poll(0, 1, 0)).toBe(3);
  });

  it('takes the last one away when the metric has been nothing for longer than the cooldown', () => {
    const keda = new Keda(spec, 4, 0);
    keda.poll(0, 1, 5);
    expect(keda.poll(300, 1, 0)).toBe(1);
    expect(keda.poll(301, 1, 0)).toBe(0);
  });

  it('takes all away at once then, not only the last', () => {
    const keda = new Keda(spec, 4, 0);
    keda.poll(0, 7, 5);
    expect(keda.poll(310, 7, 0)).toBe(0);
  });

  it('leaves the last one where there must be one', () => {
    const keda = new Keda({ ...spec, minReplicaCount: 1 }, 4, 0);
    keda.poll(0, 1, 5);
    expect(keda.poll(1000, 1, 0)).toBe(1);
  });

  it('decides nothing while the metric cannot be read', () => {
    const fallback = { failureThreshold: 3, replicas: 3 };
    for (const one of [spec, { ...spec, fallback }]) {
      const keda = new Keda(one, 4, 0);
      keda.poll(0, 7, 5);
      expect(keda.poll(1000, 7, undefined)).toBe(7);
    }
  });
});

describe('the fallback', () => {
  const answers = (behavior: string | undefined, current: number) => {
    const keda = new Keda(
      { ...spec, fallback: { failureThreshold: 3, replicas: 3, ...(behavior && { behavior }) } },
      4,
      0,
    );
    return Array.from({ length: 4 }, () => keda.metric(current, undefined));
  };

  it('is what the HPA hears after more failures than may be', () => {
    expect(answers(undefined, 7)).toEqual([undefined, undefined, undefined, 3 * 4]);
  });

  it.each([
    ['static', 3],
    ['currentReplicas', 7],
    ['currentReplicasIfHigher', 7],
    ['currentReplicasIfLower', 3],
  ])('with %s', (behavior, replicas) => {
    expect(answers(behavior, 7).at(-1)).toBe(replicas * 4);
  });

  it('needs failures in a row', () => {
    const keda = new Keda({ ...spec, fallback: { failureThreshold: 1, replicas: 3 } }, 4, 0);
    expect([undefined, 8, undefined, undefined].map((value) => keda.metric(2, value))).toEqual([
      undefined,
      8,
      undefined,
      12,
    ]);
  });

  it('is not there unless it is asked for', () => {
    const keda = new Keda(spec, 4, 0);
    const heard = Array.from({ length: 9 }, () => keda.metric(2, undefined));
    expect(new Set(heard)).toEqual(new Set([undefined]));
  });
});
