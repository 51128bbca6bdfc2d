import { NodeCache } from '../cache/node-cache.ts';
import { runCache } from '../cache/run-cache.ts';
import { prototypeWith } from './prototype.ts';

interface Config {
  configurable?: { checkpoint_ns?: string };
}

interface PregelPrototype {
  cache?: object;
  _defaults: (this: PregelPrototype, config: Config) => unknown;
}

const mended = new WeakSet<object>();

/**
 * Makes nodes with a `cachePolicy` use the cache of the run, sub-graphs included: LangGraph takes a cache from the graph or from
 * its config, and hands neither on to sub-graphs. One that is in the process's memory is replaced, as it would be shared by
 * all tenants; any other that a graph brings along stays. A copy of LangGraph without this method is left alone.
 */
export function cacheNodes(graph: object): void {
  const prototype = prototypeWith(graph, '_defaults');
  if (!prototype || mended.has(prototype)) return;
  mended.add(prototype);
  const pregel = prototype as PregelPrototype;
  const original = pregel._defaults;
  pregel._defaults = function (config) {
    const cache = runCache();
    const own = this.cache !== undefined && this.cache.constructor.name !== 'InMemoryCache';
    if (!cache || own) return original.call(this, config);
    return original.call(this, { ...config, cache: new NodeCache(cache, placeOf(config)) } as Config);
  };
}

/** Which graph within the root it is. LangGraph names a node by itself alone, and a sub-graph may have one of the same name. */
function placeOf({ configurable }: Config): string {
  return (configurable?.checkpoint_ns ?? '')
    .split('|')
    .map((task) => task.replace(/:.*/, ''))
    .join('|');
}
