import { describe, expect, it } from 'vitest';
import { Hpa, type HpaSpec, replicasForAverage, replicasForValue, SYNC_SECONDS } from '../autoscale/hpa.ts';

/** Rounds every so many seconds with the same proposal, until one changes nothing. */
function steps(hpa: Hpa, from: number, proposed: number, every: number): number[] {
  const all: number[] = [];
  for (let now = 0, current = from; ; now += every) {
    const next = hpa.sync(now, current, proposed);
    if (next === current) return all;
    all.push(next);
    current = next;
  }
}

const bounds = { minReplicas: 1, maxReplicas: 100 };
const atOnce = { stabilizationWindowSeconds: 0 };

// The examples are those of https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/
describe('the number that a metric asks for', () => {
  it.each([
    { value: 200, replicas: 8, why: 'doubles at twice the target' },
    { value: 50, replicas: 2, why: 'halves at half of it' },
    { value: 110, replicas: 4, why: 'is left alone within a tenth above' },
    { value: 90, replicas: 4, why: 'and below' },
    { value: 111, replicas: 5, why: 'is rounded up' },
  ])('$why', ({ value, replicas }) => {
    expect(replicasForValue(4, value, 100)).toBe(replicas);
  });

  it('is the total over the share of each, whatever there is now', () => {
    expect(replicasForAverage(1, 37, 4)).toBe(10);
    expect(replicasForAverage(20, 37, 4)).toBe(10);
    expect(replicasForAverage(3, 0, 4)).toBe(0);
  });

  it('is left alone when the total is within a tenth of what there is a share for', () => {
    expect(replicasForAverage(10, 44, 4)).toBe(10);
    expect(replicasForAverage(10, 36, 4)).toBe(10);
    expect(replicasForAverage(10, 45, 4)).toBe(12);
  });
});

describe('policies', () => {
  it('take the larger change unless told: from 80 a tenth a minute, and four a minute from 40 on', () => {
    const hpa = new Hpa({
      ...bounds,
      behavior: {
        scaleDown: {
          ...atOnce,
          policies: [
            { type: 'Pods', value: 4, periodSeconds: 60 },
            { type: 'Percent', value: 10, periodSeconds: 60 },
          ],
        },
      },
    });
    expect(steps(hpa, 80, 10, 60)).toEqual([72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16, 12, 10]);
  });

  it('take the smaller change with Min: no more than five a minute', () => {
    const hpa = new Hpa({
      ...bounds,
      behavior: {
        scaleDown: {
          ...atOnce,
          selectPolicy: 'Min',
          policies: [
            { type: 'Percent', value: 10, periodSeconds: 60 },
            { type: 'Pods', value: 5, periodSeconds: 60 },
          ],
        },
      },
    });
    expect(steps(hpa, 80, 60, 60)).toEqual([75, 70, 65, 60]);
  });

  it('hold for their period, however often the controller looks', () => {
    const hpa = new Hpa({
      ...bounds,
      behavior: {
        scaleDown: { ...atOnce, policies: [{ type: 'Pods', value: 1, periodSeconds: 60 }] },
      },
    });
    let current = 5;
    const seen = Array.from({ length: 9 }, (_, round) => {
      current = hpa.sync(round * SYNC_SECONDS, current, 1);
      return current;
    });
    expect(seen).toEqual([4, 4, 4, 4, 3, 3, 3, 3, 2]);
  });

  it('count what was taken away in their period when they add', () => {
    const hpa = new Hpa({
      ...bounds,
      behavior: {
        scaleDown: { ...atOnce, policies: [{ type: 'Pods', value: 4, periodSeconds: 60 }] },
        scaleUp: { policies: [{ type: 'Pods', value: 1, periodSeconds: 60 }] },
      },
    });
    expect(hpa.sync(0, 10, 1)).toBe(6);
    expect(hpa.sync(SYNC_SECONDS, 6, 50)).toBe(11);
  });

  it('forbid a direction with Disabled', () => {
    const hpa = new Hpa({
      ...bounds,
      behavior: { scaleDown: { ...atOnce, selectPolicy: 'Disabled' } },
    });
    expect(hpa.sync(0, 10, 1)).toBe(10);
  });
});

describe('without a behaviour', () => {
  it('adds four or doubles every fifteen seconds', () => {
    expect(steps(new Hpa(bounds), 1, 40, SYNC_SECONDS)).toEqual([5, 10, 20, 40]);
  });

  it('goes down only when nothing has asked for more during five minutes, and then at once', () => {
    const hpa = new Hpa(bounds);
    hpa.sync(0, 10, 10);
    hpa.sync(15, 10, 7);
    expect(hpa.sync(299, 10, 2)).toBe(10);
    expect(hpa.sync(300, 10, 2)).toBe(7);
    expect(hpa.sync(315, 7, 2)).toBe(2);
  });
});

describe('a stabilization window upwards', () => {
  it('goes up only to the lowest proposal in it', () => {
    const hpa = new Hpa({ ...bounds, behavior: { scaleUp: { stabilizationWindowSeconds: 60 } } });
    hpa.sync(0, 2, 2);
    expect(hpa.sync(30, 2, 6)).toBe(2);
    expect(hpa.sync(61, 2, 5)).toBe(5);
  });
});

describe('bounds', () => {
  const spec: HpaSpec = { minReplicas: 2, maxReplicas: 4, behavior: { scaleDown: atOnce } };
  it.each([
    { current: 3, proposed: 9, replicas: 4, why: 'no more than the most' },
    { current: 3, proposed: 0, replicas: 2, why: 'no fewer than the least' },
    { current: 9, proposed: 9, replicas: 4, why: 'down to the most, whatever the metric says' },
    { current: 1, proposed: 1, replicas: 2, why: 'up to the least' },
    { current: 0, proposed: 9, replicas: 0, why: 'off, while nothing is asked for' },
    { current: 3, proposed: undefined, replicas: 3, why: 'as it is, while the metric cannot be read' },
  ])('$why', ({ current, proposed, replicas }) => {
    expect(new Hpa(spec).sync(0, current, proposed)).toBe(replicas);
  });
});
