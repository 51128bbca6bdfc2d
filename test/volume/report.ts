import type { Cost } from './meter.ts';

/** What the same moves cost in a small and a large setting, as a Markdown table. */
export function ratios(title: string, small: Record<string, Cost>, large: Record<string, Cost>): string {
  const rows = Object.entries(large).map(([move, { commands, bytes, ms }]) => {
    const before = small[move];
    if (!before) return '';
    const cells = [move, times(ms / before.ms), `${round(before.ms)} → ${round(ms)}`];
    return `| ${[...cells, `${round(before.commands)} → ${round(commands)}`, `${round(before.bytes)} → ${round(bytes)}`].join(' | ')} |`;
  });
  const head = `| ${title} | × | median ms | commands | bytes |\n| --- | ---: | ---: | ---: | ---: |`;
  return `\n${head}\n${rows.join('\n')}`;
}

function times(ratio: number): string {
  return ratio.toFixed(2);
}

export function round(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(3)));
}
