import type { Comparison } from './report.ts';

/** What Millrace is to be at least, against LangGraph's in-memory Agent Server. */
const LATENCY = 10;
const THROUGHPUT = 4;

/** Says of each comparison with the Agent Server whether it came out as it should. */
export function verdicts(comparisons: Comparison[]): string[] {
  return comparisons.flatMap(({ title, figures }) => {
    const [own, other] = figures;
    if (!own || !other || own.name !== 'Millrace') return [];
    const latency = other.p50 / own.p50;
    const throughput = own.perSecond / other.perSecond;
    const met = latency >= LATENCY && throughput >= THROUGHPUT;
    return [
      `${met ? 'met  ' : 'MISSED'} ${title}: ${latency.toFixed(1)} times less latency (at least ${LATENCY}), ` +
        `${throughput.toFixed(1)} times the runs/s (at least ${THROUGHPUT})`,
    ];
  });
}
