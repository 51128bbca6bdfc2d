/** One figure, as each round found it: milliseconds of CPU, or bytes. */
export interface Sized {
  what: string;
  /** Whose, where several processes take part. */
  of?: string;
  rounds: number[];
}

/** A row for each thing, a column for each of whom it takes something; medians, and in brackets what the rounds lay between. */
export function toTable(title: string, figures: Sized[]): string {
  const columns = [...new Set(figures.map(({ of = '' }) => of))];
  const rows = [...new Set(figures.map(({ what }) => what))].map((what) => [
    what,
    ...columns.map((column) => {
      const found = figures.find((one) => one.what === what && (one.of ?? '') === column);
      return found ? cell(found.rounds) : '';
    }),
  ]);
  const head = columns.length > 1 ? [title, ...columns] : ['', title];
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: string[]) => `| ${cells.map((text, i) => text.padEnd(widths[i] ?? 0)).join(' | ')} |`;
  return [line(head), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...rows.map(line)].join(
    '\n',
  );
}

function cell(rounds: number[]): string {
  const sorted = rounds.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const median = ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
  return `${round(median)} (${round(sorted[0] ?? 0)} to ${round(sorted.at(-1) ?? 0)})`;
}

/** Two digits that mean something, and all before the point. */
function round(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return Math.abs(value) >= 10
    ? Math.round(value).toLocaleString('en-US')
    : String(Number(value.toPrecision(2)));
}
