/** What a `/metrics` page tells: type and seen label names of each metric. */
export type Metrics = Map<string, { type: string; labels: Set<string> }>;

export function readMetrics(text: string, into: Metrics = new Map()): Metrics {
  for (const line of text.split('\n')) {
    const type = /^# TYPE (\S+) (\S+)/.exec(line);
    if (type) {
      const [, name = '', kind = ''] = type;
      if (!into.has(name)) into.set(name, { type: kind, labels: new Set() });
      continue;
    }
    const sample = /^([a-zA-Z_:][\w:]*)\{(.*)\} /.exec(line);
    const known =
      sample &&
      (into.get(sample[1] ?? '') ?? into.get((sample[1] ?? '').replace(/_(bucket|sum|count)$/, '')));
    for (const [, label = ''] of sample?.[2]?.matchAll(/(\w+)="/g) ?? []) known?.labels.add(label);
  }
  return into;
}

/** The value of one sample. */
export function readSample(text: string, name: string, labels: Record<string, string>): number | undefined {
  const inner = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  const line = text.split('\n').find((one) => one.startsWith(`${name}{${inner.join(',')}} `));
  return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ')));
}
