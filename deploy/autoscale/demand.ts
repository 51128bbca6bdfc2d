import { parse } from 'yaml';
import type { Manifest } from '../test/kustomize.ts';

/** What an autoscaler is told. Rejects when it cannot be known. */
export type ReadDemand = () => Promise<number>;

/** Parts of the running system that autoscalers ask. */
export interface Asked {
  redis: { eval: (script: string, count: number, key: string) => Promise<unknown> };
  /** The ops port of a gateway. */
  gateway: string;
  /** Absent where nothing asks for it. */
  prometheus?: string;
}

/** One of a ScaledObject's `triggers`. */
export interface Trigger {
  type: string;
  name?: string;
  metadata: Record<string, string>;
}

/** How KEDA's redis scaler counts, whatever kind of key the name leads to. */
const LENGTH = `local kind = redis.call('TYPE', KEYS[1]).ok
local commands = { zset = 'ZCARD', set = 'SCARD', hash = 'HLEN', list = 'LLEN', none = 'LLEN' }
return redis.call(commands[kind], KEYS[1])`;

/** What a trigger of a ScaledObject reads, asked for as KEDA does. */
export function readTrigger(trigger: Trigger, { redis, gateway }: Asked): ReadDemand {
  const { type, metadata } = trigger;
  if (type === 'redis') {
    const { listName = '' } = metadata;
    return async () => Number(await redis.eval(LENGTH, 1, listName));
  }
  if (type === 'metrics-api') {
    const { url = '', format, valueLocation = '' } = metadata;
    if (format !== undefined && format !== 'json') throw new Error(`format: ${format} is not emulated`);
    const at = `${gateway}${new URL(url).pathname}`;
    return async () => {
      const body = (await getJson(at)) as Record<string, unknown>;
      const value = body[valueLocation];
      if (typeof value !== 'number') throw new Error(`${at} has no number at ${valueLocation}`);
      return value;
    };
  }
  throw new Error(`a trigger of type ${type} is not emulated`);
}

/** A formula of `scalingModifiers` over triggers by their names. @throws Error for anything but a sum */
export function readFormula(formula: string, triggers: Trigger[], asked: Asked): ReadDemand {
  const terms = formula.split('+').map((term) => term.trim());
  const reads = terms.map((term) => {
    const trigger = triggers.find(({ name }) => name === term);
    if (!trigger) throw new Error(`formula: "${term}" is no trigger; only sums of triggers are emulated`);
    return readTrigger(trigger, asked);
  });
  return async () => {
    const values = await Promise.all(reads.map((read) => read()));
    return values.reduce((sum, value) => sum + value, 0);
  };
}

/**
 * What an HPA's external metric reads through prometheus-adapter: the adapter makes a query of the rule with that name, and
 * the HPA adds up the series it gives.
 */
export function readExternal(hpa: Manifest, objects: Manifest[], { prometheus = '' }: Asked): ReadDemand {
  const rules = objects.find(
    (one) => one.kind === 'ConfigMap' && one.metadata.name === 'millrace-adapter-rules',
  );
  const { externalRules = [] } = parse(rules?.data['config.yaml'] ?? '{}') as {
    externalRules?: { seriesQuery: string; name: { as: string }; metricsQuery: string }[];
  };
  const { metric } = hpa.spec.metrics[0].external;
  const rule = externalRules.find(({ name }) => name.as === metric.name);
  if (!rule) throw new Error(`no rule of the adapter gives ${metric.name}`);
  const matchers = Object.entries({ namespace: hpa.metadata.namespace, ...metric.selector.matchLabels });
  const query = rule.metricsQuery
    .replaceAll('<<.Series>>', /^[\w:]+/.exec(rule.seriesQuery)?.[0] ?? '')
    .replaceAll('<<.LabelMatchers>>', matchers.map(([label, value]) => `${label}="${value}"`).join());
  return async () => {
    const series = await queryPrometheus(prometheus, query);
    if (series.length === 0) throw new Error(`nothing is known of ${query}`);
    return series.reduce((sum, value) => sum + value, 0);
  };
}

/** The values of the series that an instant query gives. */
export async function queryPrometheus(url: string, query: string): Promise<number[]> {
  const { data } = (await getJson(`${url}/api/v1/query?query=${encodeURIComponent(query)}`)) as {
    data: { result: { value: [number, string] }[] };
  };
  return data.result.map(({ value }) => Number(value[1]));
}

async function getJson(url: string): Promise<unknown> {
  const response = await fetch(url, { signal: AbortSignal.timeout(3000) });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return response.json();
}
