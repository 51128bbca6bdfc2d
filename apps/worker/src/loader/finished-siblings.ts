import { prototypeWith } from './prototype.ts';

interface Config {
  configurable?: Record<string, unknown>;
}

interface PregelPrototype {
  _defaults: (this: unknown, config: Config) => unknown;
}

const mended = new WeakSet<object>();

/**
 * Makes sub-graphs keep what their finished tasks have stored when a step is resumed, as the root graph does.
 *
 * LangGraph skips finished tasks unless it replays an older checkpoint, and takes a replay from the mere presence of
 * `checkpoint_id` in the config. What it hands to sub-graphs always has that name, with no value: so the finished
 * siblings of an interrupted or killed sub-graph ran again. The name is taken out here where it says nothing, and left
 * where the parent does replay. Works on whichever copy of LangGraph made the graph; a copy without this method is
 * left alone.
 */
export function keepFinishedSiblings(graph: object): void {
  const prototype = prototypeWith(graph, '_defaults');
  if (!prototype || mended.has(prototype)) return;
  mended.add(prototype);
  const pregel = prototype as unknown as PregelPrototype;
  const original = pregel._defaults;
  pregel._defaults = function (this: unknown, config: Config) {
    const { configurable } = config;
    const isNested = configurable !== undefined && '__pregel_read' in configurable;
    if (
      !isNested ||
      configurable.checkpoint_id !== undefined ||
      configurable.__pregel_replay_state !== undefined
    ) {
      return original.call(this, config);
    }
    const { checkpoint_id: _, ...rest } = configurable;
    return original.call(this, { ...config, configurable: rest });
  };
}
