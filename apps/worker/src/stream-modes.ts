import type { StreamMode } from '@millrace/shared/contract/stream-mode';
import { toWireJson } from '@millrace/shared/wire-json';

/** LangGraph's own names of what it streams. */
export type GraphMode = 'values' | 'updates' | 'messages' | 'custom' | 'debug' | 'tasks' | 'checkpoints';

/** What to ask LangGraph for. Both of the wire's message modes are made from LangGraph's one. */
export function graphModes(asked: StreamMode[]): Set<GraphMode> {
  return new Set(asked.map((mode) => (mode === 'messages-tuple' ? 'messages' : mode)));
}

/** The name under which an event is stored: the mode, and the sub-graph it came from. */
export function eventName(mode: string, namespace: string[]): string {
  return [mode, ...namespace].join('|');
}

/**
 * An event's data as JSON. LangGraph's `checkpoints` and `debug` events carry its own config, with the checkpointer
 * and other live objects in it; only what identifies a checkpoint goes out.
 */
export function eventData(mode: string, payload: unknown): string {
  if (mode === 'checkpoints') return toWireJson(publicCheckpoint(payload));
  if (mode === 'debug' && isRecord(payload)) {
    return toWireJson({ ...payload, payload: publicCheckpoint(payload.payload) });
  }
  return toWireJson(payload);
}

const PUBLIC = ['thread_id', 'checkpoint_ns', 'checkpoint_id', 'checkpoint_map'];

function publicCheckpoint(payload: unknown): unknown {
  if (!isRecord(payload)) return payload;
  const result: Record<string, unknown> = { ...payload };
  for (const name of ['config', 'parentConfig']) {
    if (!(name in payload)) continue;
    const config = payload[name];
    const configurable = isRecord(config) && isRecord(config.configurable) ? config.configurable : {};
    result[name] = isRecord(config)
      ? {
          configurable: Object.fromEntries(
            PUBLIC.flatMap((key) => (key in configurable ? [[key, configurable[key]]] : [])),
          ),
        }
      : config;
  }
  return result;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
