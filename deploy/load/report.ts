import type { Sample } from './users.ts';

/** What an answer must keep to: 200, within this time. */
const LIMIT_MS = 2000;
/** The same thresholds as in message.k6.js. */
const LEAST_PART = 0.99;

export interface Report {
  requests: number;
  perSecond: number;
  /** Requests by status, or by what went wrong. */
  results: Record<string, number>;
  /** Milliseconds. */
  p50: number;
  p95: number;
  p99: number;
  longest: number;
  /** Part of the requests that were answered 200 within 2 s. */
  kept: number;
  passed: boolean;
}

export function reportOf(samples: Sample[], ms: number): Report {
  const sorted = samples.map((sample) => sample.ms).sort((a, b) => a - b);
  const quantile = (part: number) => Math.round(sorted[Math.ceil(part * sorted.length) - 1] ?? 0);
  const results: Record<string, number> = {};
  for (const { result } of samples) results[result] = (results[result] ?? 0) + 1;
  const good = samples.filter((sample) => sample.result === '200' && sample.ms < LIMIT_MS).length;
  const kept = samples.length === 0 ? 0 : good / samples.length;
  return {
    requests: samples.length,
    perSecond: Math.round((samples.length * 10_000) / ms) / 10,
    results,
    p50: quantile(0.5),
    p95: quantile(0.95),
    p99: quantile(0.99),
    longest: quantile(1),
    kept,
    passed: kept > LEAST_PART && quantile(0.95) < LIMIT_MS,
  };
}

export function describe(report: Report): string {
  const { requests, perSecond, results, p50, p95, p99, longest, kept, passed } = report;
  const by = Object.entries(results).map(([result, count]) => `${result}: ${count}`);
  return [
    `${requests} requests, ${perSecond} a second (${by.join(', ')})`,
    `p50 ${p50} ms, p95 ${p95} ms, p99 ${p99} ms, longest ${longest} ms`,
    `${(kept * 100).toFixed(2)} % answered 200 within 2 s: ${passed ? 'passed' : 'FAILED'}`,
  ].join('\n');
}
