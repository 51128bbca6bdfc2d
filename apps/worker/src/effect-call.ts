import { createHash } from 'node:crypto';
import type { EffectCall } from '@millrace/shared/contract/effect';
import type { StoredCheckpoints } from './stored-checkpoints.ts';

/** Longer arguments are cut where a person is shown them. */
const ARGS_SHOWN = 2_000;

/** A tool's call as LangChain tells of it before it begins. */
interface ToolStart {
  /** JSON text. */
  args: string;
  tool: string;
  toolCallId: string | undefined;
  metadata: Record<string, unknown>;
}

/**
 * Whether a tool must not be called twice: its `metadata` says `repeatable: false`, or has annotations of MCP that say so
 * plainly. (What MCP takes for granted where nothing is said would hold for every tool.)
 */
export function mustNotRepeat(metadata: Record<string, unknown>): boolean {
  if (typeof metadata.repeatable === 'boolean') return !metadata.repeatable;
  const { readOnlyHint, idempotentHint, destructiveHint } = (metadata.annotations ?? {}) as Record<
    string,
    unknown
  >;
  if (readOnlyHint === true || idempotentHint === true) return false;
  return idempotentHint === false || destructiveHint === true;
}

/** Gives calls their names: the same for the same call, however often its task is executed. */
export class EffectCalls {
  readonly #checkpoints: StoredCheckpoints;
  /** By task: how often it has made each call, since it was last started. */
  readonly #made = new Map<string, Map<string, number>>();

  constructor(checkpoints: StoredCheckpoints) {
    this.#checkpoints = checkpoints;
  }

  /** A task is executed, perhaps again. @param task its checkpoint namespace */
  started(task: string): void {
    this.#made.delete(task);
  }

  /** @returns undefined for a call outside of every task */
  of({ args, tool, toolCallId, metadata }: ToolStart): EffectCall | undefined {
    const namespace = metadata.langgraph_checkpoint_ns;
    const root = this.#checkpoints.newest('');
    if (typeof namespace !== 'string' || namespace === '' || root === undefined) return undefined;
    const path = namespace.split('|');
    const isFunction = (metadata.langgraph_path as unknown[] | undefined)?.at(-1) === true;
    const steady = this.#steady(path, isFunction);
    const task = path.slice(0, steady).join('|');
    // Below, ids change with each attempt.
    const names = path.slice(steady).map((part) => part.replace(/:.*/, ''));
    const what = JSON.stringify([task, names, tool, toolCallId ?? args]);
    const made = this.#made.get(task) ?? new Map<string, number>();
    this.#made.set(task, made.set(what, (made.get(what) ?? 0) + 1));
    return {
      id: createHash('sha256')
        .update(JSON.stringify([root, what, made.get(what)]))
        .digest('hex')
        .slice(0, 32),
      root,
      places: this.#places(path, isFunction),
      node: path[0]?.replace(/:.*/, '') ?? '',
      tool,
      ...(toolCallId !== undefined && { toolCallId }),
      args: args.length > ARGS_SHOWN ? `${args.slice(0, ARGS_SHOWN)}…` : args,
    };
  }

  /**
   * How many parts of a namespace have ids that last: those of tasks that come from a stored checkpoint. The tasks of a
   * function come from the checkpoint of the graph that it is.
   */
  #steady(path: string[], isFunction: boolean): number {
    if (isFunction) return path.length;
    const known = (parts: number) => this.#checkpoints.newest(path.slice(0, parts).join('|')) !== undefined;
    const loose = path.findIndex((_, i) => !known(i) && !known(i + 1));
    return loose < 0 ? path.length : loose;
  }

  #places(path: string[], isFunction: boolean): EffectCall['places'] {
    const places: EffectCall['places'] = [];
    let namespace = '';
    path.forEach((part, i) => {
      const around = path.slice(0, i).join('|');
      const ofFunction = isFunction && i === path.length - 1 && i > 0;
      if (!ofFunction && this.#checkpoints.newest(around) !== undefined) namespace = around;
      const checkpoint = this.#checkpoints.newest(namespace);
      const [, task] = part.split(':');
      if (task !== undefined) places.push({ namespace, ...(checkpoint && { checkpoint }), task });
    });
    return places;
  }
}
