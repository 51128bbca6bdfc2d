/** One figure, as each round found it. */
export interface Sized {
  what: string;
  unit: 'ms of CPU' | 'bytes' | 'MiB';
  rounds: number[];
}

/** Of the rounds, the median and what it lay between. */
export function toTable(figures: Sized[]): string {
  const rows = figures.map(({ what, unit, rounds }) => {
    const sorted = rounds.toSorted((a, b) => a - b);
    const [low = Number.NaN, high = Number.NaN] = [sorted[0], sorted.at(-1)];
    const median =
      ((sorted[Math.floor((sorted.length - 1) / 2)] ?? 0) +
        (sorted[Math.ceil((sorted.length - 1) / 2)] ?? 0)) /
      2;
    return [what, `${round(median)} ${unit}`, `${round(low)} to ${round(high)}`];
  });
  const head = ['what', 'median', 'rounds'];
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`;
  return [line(head), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...rows.map(line)].join(
    '\n',
  );
}

/** Three digits that mean something. */
function round(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return Math.abs(value) >= 100
    ? Math.round(value).toLocaleString('en-US')
    : String(Number(value.toPrecision(3)));
}
