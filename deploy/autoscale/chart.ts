import { type Outcome, quantile } from './figures.ts';

const WIDTH = 760;
const LEFT = 62;
const RIGHT = 62;
const PLOT = WIDTH - LEFT - RIGHT;
const TOP = 44;
const PANEL = 150;
const GAP = 58;
const HEIGHT = TOP + 2 * PANEL + GAP + 44;
const WAIT_WINDOW_SECONDS = 60;

type Point = [seconds: number, value: number];

interface Line {
  name: string;
  /** A class of the style sheet. */
  style: string;
  points: Point[];
  /** What holds until the next point. */
  steps?: boolean;
  filled?: boolean;
}

/** The same for all charts that are to be compared. */
export interface Scale {
  seconds: number;
  runs: number;
  wait: number;
}

export function scaleOf(outcomes: Outcome[]): Scale {
  const most = (values: number[]) => Math.max(1, ...values.filter(Number.isFinite));
  return {
    seconds: most(outcomes.map(({ samples }) => samples.at(-1)?.at ?? 0)),
    runs: most(
      outcomes.flatMap(({ samples, concurrency }) =>
        samples.flatMap(({ demand = 0, ready }) => [demand, ready * concurrency]),
      ),
    ),
    wait: most(outcomes.flatMap((one) => waits(one, 0.95).map(([, value]) => value))),
  };
}

/** An outcome over time as an SVG of its own: demand and workers above, how long runs waited below. */
export function chart(outcome: Outcome, title: string, scale: Scale): string {
  const { samples, concurrency } = outcome;
  const over = (read: (sample: Outcome['samples'][number]) => number | undefined): Point[] =>
    samples.flatMap((sample) => {
      const value = read(sample);
      return value === undefined ? [] : [[sample.at, value] as Point];
    });
  const runs: Line[] = [
    {
      name: 'demand (ready and executing runs)',
      style: 'demand',
      points: over(({ demand }) => demand),
      filled: true,
    },
    {
      name: 'room in ready workers',
      style: 'room',
      points: over(({ ready }) => ready * concurrency),
      steps: true,
    },
    { name: 'wanted', style: 'wanted', points: over(({ wanted }) => wanted * concurrency), steps: true },
  ];
  const wait: Line[] = [
    { name: 'wait p50', style: 'p50', points: waits(outcome, 0.5) },
    { name: 'p95', style: 'p95', points: waits(outcome, 0.95) },
  ];
  const below = TOP + PANEL + GAP;
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">`,
    STYLE,
    `<rect class="ground" width="${WIDTH}" height="${HEIGHT}" rx="6"/>`,
    `<text class="title" x="${LEFT}" y="20">${escaped(title)}</text>`,
    ...panel(
      TOP,
      { unit: 'runs', most: scale.runs, second: { unit: 'workers', each: concurrency } },
      runs,
      scale.seconds,
    ),
    ...panel(below, { unit: 'seconds', most: scale.wait }, wait, scale.seconds),
    `<text class="label" x="${LEFT + PLOT / 2}" y="${below + PANEL + 34}" text-anchor="middle">minutes of the cluster</text>`,
    '</svg>',
  ].join('\n')}\n`;
}

/** Of the runs sent within each minute. */
function waits({ runs }: Outcome, share: number): Point[] {
  const windows = new Map<number, number[]>();
  for (const { sentAt, wait } of runs) {
    const window = Math.floor(sentAt / WAIT_WINDOW_SECONDS);
    windows.set(window, [...(windows.get(window) ?? []), wait]);
  }
  return [...windows]
    .sort(([a], [b]) => a - b)
    .map(([window, values]) => [(window + 0.5) * WAIT_WINDOW_SECONDS, quantile(values, share)]);
}

function panel(
  top: number,
  axis: { unit: string; most: number; second?: { unit: string; each: number } },
  lines: Line[],
  seconds: number,
): string[] {
  const each = axis.second?.each ?? 1;
  const tick = niceTick(axis.most / each, 4) * each;
  const most = Math.ceil(axis.most / tick) * tick;
  const x = (at: number) => round(LEFT + (at / seconds) * PLOT);
  const y = (value: number) => round(top + PANEL - (value / most) * PANEL);
  const parts: string[] = [];
  for (let value = 0; value <= most; value += tick) {
    parts.push(`<line class="grid" x1="${LEFT}" x2="${LEFT + PLOT}" y1="${y(value)}" y2="${y(value)}"/>`);
    parts.push(`<text class="label" x="${LEFT - 6}" y="${y(value) + 4}" text-anchor="end">${value}</text>`);
    if (axis.second) {
      const other = value / axis.second.each;
      parts.push(`<text class="label" x="${LEFT + PLOT + 6}" y="${y(value) + 4}">${other}</text>`);
    }
  }
  const minutes = niceTick(seconds / 60, 8);
  for (let minute = 0; minute <= seconds / 60; minute += minutes) {
    const at = x(minute * 60);
    parts.push(`<line class="grid" x1="${at}" x2="${at}" y1="${top}" y2="${top + PANEL}"/>`);
    parts.push(`<text class="label" x="${at}" y="${top + PANEL + 16}" text-anchor="middle">${minute}</text>`);
  }
  parts.push(`<text class="label" x="${LEFT - 6}" y="${top - 10}" text-anchor="end">${axis.unit}</text>`);
  if (axis.second) {
    parts.push(`<text class="label" x="${LEFT + PLOT + 6}" y="${top - 10}">${axis.second.unit}</text>`);
  }
  for (const { style, points, steps, filled } of lines) {
    const path = points.map(([at, value], i) => {
      const corner = steps && i > 0 ? `H${x(at)} ` : '';
      return i === 0 ? `M${x(at)} ${y(value)}` : `${corner}L${x(at)} ${y(value)}`;
    });
    const [first, last] = [points[0], points.at(-1)];
    if (!first || !last) continue;
    if (filled)
      parts.push(
        `<path class="area ${style}" d="${path.join('')}L${x(last[0])} ${y(0)}L${x(first[0])} ${y(0)}Z"/>`,
      );
    parts.push(`<path class="line ${style}" d="${path.join('')}"/>`);
  }
  let right = LEFT + 8;
  for (const { name, style } of lines) {
    parts.push(
      `<line class="line ${style}" x1="${right}" x2="${right + 18}" y1="${top - 14}" y2="${top - 14}"/>`,
    );
    parts.push(`<text class="label" x="${right + 24}" y="${top - 10}">${escaped(name)}</text>`);
    right += 24 + name.length * 6.4 + 18;
  }
  return parts;
}

/** A step of 1, 2 or 5 times a power of ten, of which about so many fit. */
function niceTick(most: number, count: number): number {
  const rough = Math.max(1, most / count);
  const power = 10 ** Math.floor(Math.log10(rough));
  return ([1, 2, 5, 10].find((one) => one * power >= rough) ?? 10) * power;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

/** A ground of its own, so that it can be read on any page. */
const STYLE = `<style>
text { font-family: system-ui, sans-serif; font-size: 12px; fill: #444c56; }
.title { font-size: 14px; font-weight: 600; fill: #1f2328; }
.ground { fill: #ffffff; stroke: #d0d7de; }
.grid { stroke: #d8dee4; stroke-width: 1; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.area { stroke: none; fill-opacity: 0.15; }
.demand { stroke: #0969da; }
.area.demand { fill: #0969da; }
.room { stroke: #1a7f37; }
.wanted { stroke: #57606a; stroke-dasharray: 3 3; stroke-width: 1.5; }
.p50 { stroke: #8250df; }
.p95 { stroke: #bc4c00; }
@media (prefers-color-scheme: dark) {
  text { fill: #b1bac4; }
  .title { fill: #f0f6fc; }
  .ground { fill: #0d1117; stroke: #30363d; }
  .grid { stroke: #21262d; }
  .demand { stroke: #58a6ff; }
  .area.demand { fill: #58a6ff; }
  .room { stroke: #3fb950; }
  .wanted { stroke: #8b949e; }
  .p50 { stroke: #bc8cff; }
  .p95 { stroke: #f0883e; }
}
</style>`;
