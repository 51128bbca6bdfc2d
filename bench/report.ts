import type { Figures } from './measure.ts';

export interface Comparison {
  title: string;
  /** What is counted: `runs`, `requests`, … */
  unit: string;
  /** The first one is what the others are compared with. */
  figures: Figures[];
}

/** A comparison as a Markdown table. Both ratios are the contender's figure divided by the first one's. */
export function toTable({ title, unit, figures }: Comparison): string {
  const [first] = figures;
  const withCpu = figures.some((one) => one.cpuMs !== undefined);
  const head = [
    '',
    'p50 ms',
    'p95 ms',
    `${unit}/s`,
    ...(withCpu ? ['CPU ms each'] : []),
    'p50 ×',
    `${unit}/s ×`,
  ];
  const rows = figures.map((one) => [
    one.name,
    round(one.p50),
    round(one.p95),
    round(one.perSecond),
    ...(withCpu ? [one.cpuMs === undefined ? '–' : round(one.cpuMs)] : []),
    first ? round(one.p50 / first.p50) : '',
    first ? round(one.perSecond / first.perSecond) : '',
  ]);
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  const rule = head.map((_, i) => (i === 0 ? '---' : '---:'));
  return [`### ${title}`, '', line(head), line(rule), ...rows.map(line)].join('\n');
}

/** Three digits that mean something. */
function round(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value >= 100) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}
